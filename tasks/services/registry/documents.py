"""Documents of a version: its SBOM, its signature, and a model card for each verdict that it passed.

models/<name>/versions/<version>/bom.cdx.json           the first one stays, or the one that is signed
models/<name>/versions/<version>/model.sig              over the model's files, the manifest and the SBOM
models/<name>/versions/<version>/card-<verdict>-<SHA-256 of its bytes>.md

Beside a manifest they are final: a run that makes the same version again, with any key, adds missing ones and replaces
none; only `tunegate sign` does. Without a manifest they are remains of a killed run.
"""

import hashlib
import logging
import re
from pathlib import Path

from schemas.errors import Corrupt
from schemas.frozen import short
from schemas.records.versions import Manifest
from schemas.settings import Settings, read_settings
from tasks.services.registry import sbom, signatures
from tasks.services.registry.sbom import SBOM
from tasks.services.registry.signatures import SIGNATURE
from tasks.services.storage.store import Objects, Store

MANIFEST = "manifest.json"
log = logging.getLogger(__name__)


def key_of(name: str, version: str, file: str) -> str:
    return f"models/{name}/versions/{version}/{file}"


def attach(store: Store, manifest: Manifest, installed: dict[str, str]) -> None:
    """Write a version's SBOM and, where a private key is configured, its signature.

    With a key the run signs the SBOM that it makes itself, so that the next run never signs an altered one.
    """
    settings, key = read_settings(), key_of(manifest.model, manifest.version, SBOM)
    is_committed = store.size(key_of(manifest.model, manifest.version, MANIFEST)) is not None
    if (settings.signing_key is None or is_committed) and store.size(key) is None:
        store.create(key, sbom.make_sbom(manifest, installed))
    if settings.signing_key and not _is_signed_by_us(store, manifest, settings):
        bom = sbom.make_sbom(manifest, installed)
        if is_committed:
            _sign_unless_signed(store, manifest, bom)
        else:
            _put(store, key, bom)
            _sign(store, manifest, bom)


def _is_signed_by_us(store: Store, manifest: Manifest, settings: Settings) -> bool:
    bom, signature = _read(store, manifest, SBOM), _read(store, manifest, SIGNATURE)
    return signature is not None and signatures.is_ours(_signed_files(manifest, bom), signature, settings)


def _sign_unless_signed(store: Store, manifest: Manifest, bom: bytes) -> None:
    """Sign a committed version if it has this SBOM and no signature."""
    key = key_of(manifest.model, manifest.version, SIGNATURE)
    if store.size(key) is None and _read(store, manifest, SBOM) == bom:
        store.create(key, signatures.sign(manifest.model, _signed_files(manifest, bom), read_settings()))
    else:
        log.warning(
            "%s: the version exists with another signature or SBOM than this run's; it is left unchanged. "
            "`tunegate sign %s@%s` signs it with your key.",
            key,
            manifest.model,
            short(manifest.version),
        )


def sign_as_stored(store: Store, manifest: Manifest) -> None:
    """Sign a version with its stored SBOM, or with one made from its manifest."""
    if store.size(key_of(manifest.model, manifest.version, SBOM)) is None:
        store.create(key_of(manifest.model, manifest.version, SBOM), sbom.make_sbom(manifest, {}))
    _sign(store, manifest, _read(store, manifest, SBOM))


def _sign(store: Store, manifest: Manifest, bom: bytes | None) -> None:
    signature = signatures.sign(manifest.model, _signed_files(manifest, bom), read_settings())
    # Signatures by one key are interchangeable, so the last writer may win.
    _put(store, key_of(manifest.model, manifest.version, SIGNATURE), signature)


def _put(store: Store, key: str, content: bytes) -> None:
    """Write an object; an account that may only create needs no more, unless other bytes are there."""
    if not store.create(key, content):
        store.replace(key, content)


def attach_card(store: Store, manifest: Manifest, gate_sha256: str, card: bytes) -> None:
    name = f"card-{gate_sha256}-{hashlib.sha256(card).hexdigest()}.md"
    store.create(key_of(manifest.model, manifest.version, name), card)


def check_signature(store: Objects, manifest: Manifest) -> None:
    """Verify a version's signature if a public key is configured. Raises Corrupt."""
    if read_settings().public_key:
        read_signed(store, manifest)


def check_pulled_signature(folder: Path, manifest: Manifest) -> None:
    """Verify the signature in a pulled folder if a public key is configured. Raises Corrupt."""
    if public_key := read_settings().public_key:
        paths = (folder / SBOM, folder / SIGNATURE)
        bom, signature = (path.read_bytes() if path.is_file() else None for path in paths)
        _check_signature(manifest, bom, signature, public_key)


def read_signed(store: Objects, manifest: Manifest) -> dict[str, bytes]:
    """Return a version's SBOM and signature by file name, verified if a public key is configured."""
    found = {file: _read(store, manifest, file) for file in (SBOM, SIGNATURE)}
    public_key = read_settings().public_key
    if public_key:
        _check_signature(manifest, found[SBOM], found[SIGNATURE], public_key)
    return {file: content for file, content in found.items() if content is not None}


def _check_signature(manifest: Manifest, bom: bytes | None, signature: bytes | None, public_key: Path) -> None:
    key, reference = key_of(manifest.model, manifest.version, SIGNATURE), f"{manifest.model}@{short(manifest.version)}"
    if signature is None:
        raise Corrupt(
            f"{key}: there is no signature, and TUNEGATE_PUBLIC_KEY requires one. Where TUNEGATE_SIGNING_KEY is set, "
            f"`tunegate sign {reference}` signs a version that you trust."
        )
    fault = signatures.find_fault(_signed_files(manifest, bom), signature, public_key)
    if fault:
        raise Corrupt(
            f"{key}: the signature is not valid for this version ({fault}). It was made with another key than "
            "TUNEGATE_PUBLIC_KEY's, or signature, manifest or SBOM were altered or damaged. Where "
            f"TUNEGATE_SIGNING_KEY is set, `tunegate sign {reference}` signs a version that you trust again."
        )


def read_card(store: Store, name: str, version: str, gate_sha256: str) -> bytes | None:
    """Return the model card of a version for a verdict, None where none was written. Raises Corrupt."""
    for key in store.list_keys(key_of(name, version, f"card-{gate_sha256}-")):
        card = store.read(key)
        fault = _card_fault(key, card)
        if fault:
            raise Corrupt(fault)
        return card
    return None


def find_document_faults(store: Objects, manifest: Manifest) -> list[str]:
    """Describe each altered or damaged SBOM or model card in a sentence."""
    bom_key = key_of(manifest.model, manifest.version, SBOM)
    bom = store.read(bom_key)
    fault = None if bom is None else sbom.find_fault(bom, manifest)
    cards = store.list_keys(key_of(manifest.model, manifest.version, "card-"))
    faults = [f"{bom_key}: {fault}." if fault else None, *(_card_fault(key, store.read(key)) for key in cards)]
    return [fault for fault in faults if fault]


def _card_fault(key: str, card: bytes | None) -> str | None:
    named = re.search(r"card-[0-9a-f]{64}-([0-9a-f]{64})\.md$", key)
    if named and card is not None and hashlib.sha256(card).hexdigest() == named[1]:
        return None
    return f"{key}: the card's bytes do not match its name; it was altered or damaged. Nothing needs it: delete it."


def _signed_files(manifest: Manifest, bom: bytes | None) -> dict[str, str]:
    """Return the SHA-256 of each file of a pulled folder that the signature covers."""
    files = {file: blob.digest for file, blob in manifest.files.items()} | {MANIFEST: manifest.version}
    return files if bom is None else files | {SBOM: hashlib.sha256(bom).hexdigest()}


def _read(store: Objects, manifest: Manifest, file: str) -> bytes | None:
    return store.read(key_of(manifest.model, manifest.version, file))
