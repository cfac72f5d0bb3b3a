"""Models on plain object storage: immutable versions, and an append-only log that says which alias names which.

models/<name>/versions/<version>/manifest.json   version = SHA-256 of the manifest; written last
models/<name>/log/<sequence, 16 digits>.json     the truth (`events`)
"""

import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import Conflict, Corrupt, StoreError, UsageError
from schemas.frozen import NAME_PATTERN, canonical_json, short
from schemas.records.references import ModelRef
from schemas.records.versions import Event, Manifest
from tasks.services.registry.documents import MANIFEST, attach, check_signature, key_of
from tasks.services.registry.log import checked_name, copy_head, event_key, read_log, read_whole_log, seal
from tasks.services.registry.pins import Pin, held, pin, unpin
from tasks.services.registry.sbom import BILL
from tasks.services.registry.signatures import SIGNATURE
from tasks.services.storage.leases import wait_until_free
from tasks.services.storage.store import Objects, Store, blob_key, link_or_copy

COLLECTION = "collection/store"
"""The lease of who removes what nobody names."""
COMMITTED = re.compile(r"([0-9a-f]{64})/manifest\.json")
VERSION_PATTERN = re.compile(r"[0-9a-f]{8,64}")
log = logging.getLogger(__name__)


def list_models(store: Store) -> list[str]:
    """Give every model that has a version or a log; a folder that no model's could be is left out."""
    folders = sorted(store.list_folders("models/"))
    strays = [folder for folder in folders if not re.fullmatch(NAME_PATTERN, folder)]
    if strays:
        log.warning("models/ has folders that no model can be called: %s. They are left out.", ", ".join(strays))
    return [folder for folder in folders if folder not in strays]


def list_versions(store: Objects, name: str) -> list[str]:
    """Give the complete versions of a model, those with a manifest."""
    prefix = f"models/{checked_name(name)}/versions/"
    found = [COMMITTED.fullmatch(key.removeprefix(prefix)) for key in store.list_keys(prefix)]
    return [one[1] for one in found if one]


def add_version(store: Store, manifest: Manifest, installed: dict[str, str] | None = None) -> str:
    """Commit a version whose blobs are in the store; doing it again changes nothing.

    Its bill of materials and, where a private key is configured, its signature are there before its manifest;
    `installed` are the distributions it was trained among, where they are known. A collection that has begun already
    may remove the version where it was there before, or blobs that only its manifest names, so its end is waited for.

    When this returns the version is whole. One that is added anew is as young as any. One that was there keeps its age:
    a later collection may take it before anything names it, and whoever then wants to name it is told to run again.
    """
    _check_complete(store, manifest)
    attach(store, manifest, installed or {})
    key, signature = (key_of(manifest.model, manifest.version, file) for file in (MANIFEST, SIGNATURE))
    is_signed = store.size(signature) is not None
    if not store.create(key, canonical_json(manifest.model_dump(mode="json"))):
        raise Corrupt(f"{key}: other bytes than this version's are stored there.")
    wait_until_free(store, COLLECTION)
    _check_complete(store, manifest)
    if store.size(key) is None or store.size(key_of(manifest.model, manifest.version, BILL)) is None:
        return add_version(store, manifest, installed)
    if is_signed and store.size(signature) is None:
        # Without beginning anew: beside a bill of another environment it stays missing, however often.
        attach(store, manifest, installed or {})
    return manifest.version


def read_manifest(store: Objects, name: str, version: str) -> Manifest:
    """Give the manifest of a version that will be used, checked against its name and signature. Raises StoreError."""
    manifest = stored_manifest(store, name, version)
    check_signature(store, manifest)
    return manifest


def stored_manifest(store: Objects, name: str, version: str) -> Manifest:
    """Give a version's manifest, checked against its name alone: for what handles versions but uses none."""
    key = key_of(checked_name(name), version, MANIFEST)
    raw = store.read(key)
    if raw is None:
        raise StoreError(
            f"{key}: this version is named but its manifest is missing; it cannot be used. Run again what made it: "
            "that puts it back."
        )
    if hashlib.sha256(raw).hexdigest() != version:
        raise Corrupt(f"{key}: the manifest does not hash to its version; it was altered or damaged.")
    try:
        manifest = Manifest.model_validate(json.loads(raw))
    except ValueError:
        raise Corrupt(f"{key}: it is not a manifest that this version of tunegate can read.") from None
    if manifest.model != name:
        raise Corrupt(f"{key}: it is the manifest of a version of {manifest.model!r}; somebody has put it here.")
    return manifest


def append_event(store: Store, name: str, event: Event, verdict: bytes | None = None) -> None:
    """Add the event at its number, the verdict that it cites kept; Conflict when somebody else has taken the number.

    A collection that begins before the version's and the verdict's new use is known sees that they are held.
    """
    key = event_key(name, event.sequence)
    with held(store, name, *filter(None, (event.to_version, event.gate_sha256))):
        check_survived(store, name, event.to_version)
        if verdict is not None:
            store.put_bytes(verdict)
        if not store.create(key, seal(event)):
            raise Conflict(f"{key}: somebody else promoted first.")
    copy_head(store, name)


def pin_version(store: Store, name: str, version: str, reason: Pin) -> None:
    """Keep a version until `pins.unpin`. Raises StoreError, and leaves no new pin, where it is not whole."""
    is_new = pin(store, name, version, reason)
    try:
        check_survived(store, name, version)
    except StoreError:
        if is_new:
            unpin(store, name, version)
        raise


def check_survived(store: Store, name: str, version: str) -> None:
    """See that a version is whole, once what keeps it from now on is written. Raises StoreError.

    A collection that has begun already does not know of that, so its end is waited for.
    """
    wait_until_free(store, COLLECTION)
    _check_complete(store, read_manifest(store, name, version))


def _check_complete(store: Store, manifest: Manifest) -> None:
    for name, blob in manifest.files.items():
        if not store.holds(blob):
            raise StoreError(
                f"{blob_key(blob.digest)}: {name} of {manifest.model}@{short(manifest.version)} is not in the store, "
                "so nothing may name this version. Run again: the step that made the file puts it back."
            )


def resolve(store: Store, name: str, alias_or_version: str) -> str | None:
    """Give the version that an alias or the beginning of a version names, None when nothing does.

    Every event is read: who serves a model must not believe a copy of the log where the log itself is damaged.
    """
    aliases = read_whole_log(store, name).aliases
    if alias_or_version in aliases:
        return aliases[alias_or_version]
    if not VERSION_PATTERN.fullmatch(alias_or_version):
        return None
    found = [version for version in list_versions(store, name) if version.startswith(alias_or_version)]
    if len(found) > 1:
        raise UsageError(f"{name}@{alias_or_version}: {len(found)} versions begin so; give more digits.")
    return found[0] if found else None


def find_version(store: Store, name: str, alias_or_version: str) -> str:
    """Give the version that an alias or the beginning of a version names. Raises UsageError saying what there is."""
    version = resolve(store, name, alias_or_version)
    if version is None:
        refuse_unknown_model(store, name)
        aliases = ", ".join(sorted(read_log(store, name).aliases)) or "none"
        is_short = re.fullmatch(r"[0-9a-f]{1,7}", alias_or_version)
        raise UsageError(
            f"{name}@{alias_or_version}: {alias_or_version!r} is neither an alias nor a version of {name!r}. "
            f"{'Of a version give at least 8 digits. ' if is_short else ''}Its aliases are: {aliases}. "
            f"`tunegate models {name}` lists its versions."
        )
    return version


def resolve_reference(store: Store, reference: str) -> tuple[str, str]:
    """Take `name@alias` or `name@version` apart into name and version. Raises UsageError."""
    name, _, target = reference.partition("@")
    if not target:
        raise UsageError(f"{reference}: expected NAME@ALIAS or NAME@VERSION, such as {name}@champion.")
    return name, find_version(store, name, target)


def refuse_unknown_model(store: Store, name: str) -> None:
    """Raises UsageError naming the models that there are."""
    models = list_models(store)
    if name not in models:
        raise UsageError(f"There is no model {name!r}; the models are: {', '.join(models) or 'none'}.")


@contextmanager
def unpacked(store: Store, model: ModelRef) -> Iterator[Path]:
    """A folder with a model's files, each checked against its digest, for as long as the body runs."""
    store.local.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.local, prefix="unpacked-") as name:
        for file, path in zip(model.files, store.fetch_all(model.files.values()), strict=True):
            link_or_copy(path, Path(name) / file)
        yield Path(name)
