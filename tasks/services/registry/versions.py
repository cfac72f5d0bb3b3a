"""Models on plain object storage: immutable versions, and an append-only log of the aliases that name them.

models/<name>/versions/<version>/manifest.json   version = SHA-256 of the manifest; written last
models/<name>/log/<sequence, 16 digits>.json     the truth (`log`)
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
from tasks.services.registry.sbom import SBOM
from tasks.services.registry.signatures import SIGNATURE
from tasks.services.storage.leases import wait_until_free
from tasks.services.storage.store import Objects, Store, blob_key, link_or_copy

GC_LEASE = "collection/store"
"""The lease of garbage collection."""
COMMITTED = re.compile(r"([0-9a-f]{64})/manifest\.json")
VERSION_PATTERN = re.compile(r"[0-9a-f]{8,64}")
log = logging.getLogger(__name__)


def list_models(store: Store) -> list[str]:
    """List the models with a version or a log; folders that are no valid model name are skipped."""
    folders = sorted(store.list_folders("models/"))
    invalid = [folder for folder in folders if not re.fullmatch(NAME_PATTERN, folder)]
    if invalid:
        log.warning("models/ has folders that are not valid model names: %s. They are skipped.", ", ".join(invalid))
    return [folder for folder in folders if folder not in invalid]


def list_versions(store: Objects, name: str) -> list[str]:
    """List the complete versions of a model, those with a manifest."""
    prefix = f"models/{checked_name(name)}/versions/"
    found = [COMMITTED.fullmatch(key.removeprefix(prefix)) for key in store.list_keys(prefix)]
    return [one[1] for one in found if one]


def add_version(store: Store, manifest: Manifest, installed: dict[str, str] | None = None) -> str:
    """Commit a version whose blobs are in the store; idempotent.

    Its SBOM and, where a private key is configured, its signature are written before its manifest; `installed` are the
    distributions of the environment that trained it, if known. A running garbage collection may delete a version that
    existed before, or blobs that only its manifest names, so its end is waited for.

    On return the version is complete. One that existed before keeps its age: a later collection may delete it before
    anything names it, and naming it then fails with the advice to run again.
    """
    _check_complete(store, manifest)
    attach(store, manifest, installed or {})
    key, signature = (key_of(manifest.model, manifest.version, file) for file in (MANIFEST, SIGNATURE))
    is_signed = store.size(signature) is not None
    if not store.create(key, canonical_json(manifest.model_dump(mode="json"))):
        raise Corrupt(f"{key}: other bytes than this version's are stored there.")
    wait_until_free(store, GC_LEASE)
    _check_complete(store, manifest)
    if store.size(key) is None or store.size(key_of(manifest.model, manifest.version, SBOM)) is None:
        return add_version(store, manifest, installed)
    if is_signed and store.size(signature) is None:
        # No recursion: beside the SBOM of another environment the signature stays missing.
        attach(store, manifest, installed or {})
    return manifest.version


def read_manifest(store: Objects, name: str, version: str) -> Manifest:
    """Read a version's manifest, verified against version id and signature. Raises StoreError."""
    manifest = stored_manifest(store, name, version)
    check_signature(store, manifest)
    return manifest


def stored_manifest(store: Objects, name: str, version: str) -> Manifest:
    """Read a version's manifest, verified against its id only: for handling versions, not for using one."""
    key = key_of(checked_name(name), version, MANIFEST)
    raw = store.read(key)
    if raw is None:
        raise StoreError(
            f"{key}: this version is named but its manifest is missing; it cannot be used. Run its recipe again, "
            "which restores it."
        )
    if hashlib.sha256(raw).hexdigest() != version:
        raise Corrupt(f"{key}: the manifest does not hash to its version; it was altered or damaged.")
    try:
        manifest = Manifest.model_validate(json.loads(raw))
    except ValueError:
        raise Corrupt(f"{key}: it is not a manifest that this version of tunegate can read.") from None
    if manifest.model != name:
        raise Corrupt(f"{key}: it is the manifest of a version of {manifest.model!r}; it was moved here.")
    return manifest


def append_event(store: Store, name: str, event: Event, verdict: bytes | None = None) -> None:
    """Append an event at its number and store the verdict it cites. Raises Conflict where the number is taken.

    Version and verdict are held meanwhile, so that a garbage collection that starts now keeps them.
    """
    key = event_key(name, event.sequence)
    with held(store, name, *filter(None, (event.to_version, event.gate_sha256))):
        check_survived(store, name, event.to_version)
        if verdict is not None:
            store.put_bytes(verdict)
        if not store.create(key, seal(event)):
            raise Conflict(f"{key}: another process promoted first.")
    copy_head(store, name)


def pin_version(store: Store, name: str, version: str, reason: Pin) -> None:
    """Pin a version until `pins.unpin`. Raises StoreError, leaving no new pin, where it is incomplete."""
    is_new = pin(store, name, version, reason)
    try:
        check_survived(store, name, version)
    except StoreError:
        if is_new:
            unpin(store, name, version)
        raise


def check_survived(store: Store, name: str, version: str) -> None:
    """Check that a version is complete, after writing what keeps it from now on. Raises StoreError.

    A running garbage collection may not have seen that, so its end is waited for.
    """
    wait_until_free(store, GC_LEASE)
    _check_complete(store, read_manifest(store, name, version))


def _check_complete(store: Store, manifest: Manifest) -> None:
    for name, blob in manifest.files.items():
        if not store.holds(blob):
            raise StoreError(
                f"{blob_key(blob.digest)}: {name} of {manifest.model}@{short(manifest.version)} is not in the store, "
                "so nothing may name this version. Run again: the step that made the file restores it."
            )


def resolve(store: Store, name: str, alias_or_version: str) -> str | None:
    """Return the version that an alias or a version prefix names, None when none does.

    Reads every event: the copy of the log must not hide damage to the log from those who serve a model.
    """
    aliases = read_whole_log(store, name).aliases
    if alias_or_version in aliases:
        return aliases[alias_or_version]
    if not VERSION_PATTERN.fullmatch(alias_or_version):
        return None
    found = [version for version in list_versions(store, name) if version.startswith(alias_or_version)]
    if len(found) > 1:
        raise UsageError(f"{name}@{alias_or_version}: {len(found)} versions have this prefix; give more digits.")
    return found[0] if found else None


def find_version(store: Store, name: str, alias_or_version: str) -> str:
    """Return the version that an alias or a version prefix names. Raises UsageError listing the choices."""
    version = resolve(store, name, alias_or_version)
    if version is None:
        refuse_unknown_model(store, name)
        aliases = ", ".join(sorted(read_log(store, name).aliases)) or "none"
        is_short = re.fullmatch(r"[0-9a-f]{1,7}", alias_or_version)
        raise UsageError(
            f"{name}@{alias_or_version}: {alias_or_version!r} is neither an alias nor a version of {name!r}. "
            f"{'A version prefix needs at least 8 digits. ' if is_short else ''}Its aliases are: {aliases}. "
            f"`tunegate models {name}` lists its versions."
        )
    return version


def resolve_reference(store: Store, reference: str) -> tuple[str, str]:
    """Resolve `name@alias` or `name@version` into name and version. Raises UsageError."""
    name, _, target = reference.partition("@")
    if not target:
        raise UsageError(f"{reference}: expected NAME@ALIAS or NAME@VERSION, such as {name}@champion.")
    return name, find_version(store, name, target)


def refuse_unknown_model(store: Store, name: str) -> None:
    """Raise UsageError listing the models, unless `name` is one."""
    models = list_models(store)
    if name not in models:
        raise UsageError(f"There is no model {name!r}; the models are: {', '.join(models) or 'none'}.")


@contextmanager
def unpacked(store: Store, model: ModelRef) -> Iterator[Path]:
    """Yield a temporary folder with a model's files, each verified against its digest."""
    store.local.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.local, prefix="unpacked-") as name:
        for file, path in zip(model.files, store.fetch_all(model.files.values()), strict=True):
            link_or_copy(path, Path(name) / file)
        yield Path(name)
