"""What stands beside a version: its bill of materials, its signature, and a card for each verdict that it passed.

models/<name>/versions/<version>/bom.cdx.json           the first one stands, or the one that is signed
models/<name>/versions/<version>/model.sig              over the model's files, the manifest and the bill
models/<name>/versions/<version>/card-<verdict>-<SHA-256 of its bytes>.md

Once there is a manifest they are the version's: a run that makes the same version again, by whatever key, adds what is
missing and replaces nothing; only `tunegate sign` does. Without a manifest they are what a killed run left.
"""

import hashlib
import logging
import re
from pathlib import Path

from schemas.errors import Corrupt
from schemas.frozen import short
from schemas.records.versions import Manifest
from schemas.settings import Settings
from tasks.services.registry import sbom, signatures
from tasks.services.registry.sbom import BILL
from tasks.services.registry.signatures import SIGNATURE
from tasks.services.storage.store import Objects, Store

MANIFEST = "manifest.json"
log = logging.getLogger(__name__)


def key_of(name: str, version: str, file: str) -> str:
    return f"models/{name}/versions/{version}/{file}"


def attach(store: Store, manifest: Manifest, installed: dict[str, str]) -> None:
    """Put a version's bill of materials beside it and, where a private key is configured, its signature.

    With a key the run signs the bill that it makes itself: whoever altered one must not have it signed by the next run.
    """
    settings, key = Settings(), key_of(manifest.model, manifest.version, BILL)
    is_there = store.size(key_of(manifest.model, manifest.version, MANIFEST)) is not None
    if (settings.signing_key is None or is_there) and store.size(key) is None:
        store.create(key, sbom.make_bill(manifest, installed))
    if settings.signing_key and not _is_signed_by_us(store, manifest, settings):
        bill = sbom.make_bill(manifest, installed)
        if is_there:
            _sign_unless_signed(store, manifest, bill)
        else:
            store.replace(key, bill)
            _sign(store, manifest, bill)


def _is_signed_by_us(store: Store, manifest: Manifest, settings: Settings) -> bool:
    bill, signature = _read(store, manifest, BILL), _read(store, manifest, SIGNATURE)
    return signature is not None and signatures.is_ours(_signed_files(manifest, bill), signature, settings)


def _sign_unless_signed(store: Store, manifest: Manifest, bill: bytes) -> None:
    """Sign a version that is there if it has no signature and this bill."""
    key = key_of(manifest.model, manifest.version, SIGNATURE)
    if store.size(key) is None and _read(store, manifest, BILL) == bill:
        store.create(key, signatures.sign(manifest.model, _signed_files(manifest, bill), Settings()))
    else:
        log.warning(
            "%s: the version is there with another signature or bill of materials than this run's; it stays as it is. "
            "`tunegate sign %s@%s` signs it by your key.",
            key,
            manifest.model,
            short(manifest.version),
        )


def sign_as_stored(store: Store, manifest: Manifest) -> None:
    """Sign a version with the bill that is there, or with one by its manifest: somebody who trusts them asks for it."""
    if store.size(key_of(manifest.model, manifest.version, BILL)) is None:
        store.create(key_of(manifest.model, manifest.version, BILL), sbom.make_bill(manifest, {}))
    _sign(store, manifest, _read(store, manifest, BILL))


def _sign(store: Store, manifest: Manifest, bill: bytes | None) -> None:
    signature = signatures.sign(manifest.model, _signed_files(manifest, bill), Settings())
    # Any signature by this key is as good as another, so the last writer may win.
    store.replace(key_of(manifest.model, manifest.version, SIGNATURE), signature)


def attach_card(store: Store, manifest: Manifest, gate_sha256: str, card: bytes) -> None:
    name = f"card-{gate_sha256}-{hashlib.sha256(card).hexdigest()}.md"
    store.create(key_of(manifest.model, manifest.version, name), card)


def check_signature(store: Objects, manifest: Manifest) -> None:
    """Refuse a version that the configured public key does not vouch for. Raises Corrupt."""
    if Settings().public_key:
        read_signed(store, manifest)


def read_signed(store: Objects, manifest: Manifest) -> dict[str, bytes]:
    """Give by file name what belongs to a version beside its files, checked where a public key is configured."""
    found = {file: _read(store, manifest, file) for file in (BILL, SIGNATURE)}
    public_key = Settings().public_key
    if public_key:
        _check_signature(manifest, found[BILL], found[SIGNATURE], public_key)
    return {file: content for file, content in found.items() if content is not None}


def _check_signature(manifest: Manifest, bill: bytes | None, signature: bytes | None, public_key: Path) -> None:
    key, reference = key_of(manifest.model, manifest.version, SIGNATURE), f"{manifest.model}@{short(manifest.version)}"
    if signature is None:
        raise Corrupt(
            f"{key}: there is no signature, and TUNEGATE_PUBLIC_KEY asks for one. Where TUNEGATE_SIGNING_KEY is set, "
            f"`tunegate sign {reference}` signs a version that you trust."
        )
    fault = signatures.find_fault(_signed_files(manifest, bill), signature, public_key)
    if fault:
        raise Corrupt(
            f"{key}: the signature does not stand for this version ({fault}). It is by another key than "
            "TUNEGATE_PUBLIC_KEY's, or signature, manifest or bill of materials were altered or damaged. Where "
            f"TUNEGATE_SIGNING_KEY is set, `tunegate sign {reference}` signs a version that you trust anew."
        )


def read_card(store: Store, name: str, version: str, gate_sha256: str) -> bytes | None:
    """Give the card of a version by a verdict, None where none was written. Raises Corrupt."""
    for key in store.list_keys(key_of(name, version, f"card-{gate_sha256}-")):
        card = store.read(key)
        fault = _card_fault(key, card)
        if fault:
            raise Corrupt(fault)
        return card
    return None


def find_document_faults(store: Objects, manifest: Manifest) -> list[str]:
    """Give a sentence for a bill or a card that is not what was written."""
    bill_key = key_of(manifest.model, manifest.version, BILL)
    bill = store.read(bill_key)
    fault = None if bill is None else sbom.find_fault(bill, manifest)
    cards = store.list_keys(key_of(manifest.model, manifest.version, "card-"))
    faults = [f"{bill_key}: {fault}." if fault else None, *(_card_fault(key, store.read(key)) for key in cards)]
    return [fault for fault in faults if fault]


def _card_fault(key: str, card: bytes | None) -> str | None:
    named = re.search(r"card-[0-9a-f]{64}-([0-9a-f]{64})\.md$", key)
    if named and card is not None and hashlib.sha256(card).hexdigest() == named[1]:
        return None
    return f"{key}: the card's bytes do not give its name; it was altered or damaged, and nothing needs it: delete it."


def _signed_files(manifest: Manifest, bill: bytes | None) -> dict[str, str]:
    """SHA-256 of each file of a pulled folder, without those that are outside its signature."""
    files = {file: blob.digest for file, blob in manifest.files.items()} | {MANIFEST: manifest.version}
    return files if bill is None else files | {BILL: hashlib.sha256(bill).hexdigest()}


def _read(store: Objects, manifest: Manifest, file: str) -> bytes | None:
    return store.read(key_of(manifest.model, manifest.version, file))
