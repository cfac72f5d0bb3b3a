"""Models on plain object storage: immutable versions, and an append-only log that says which alias names which.

models/<name>/versions/<version>/manifest.json   version = SHA-256 of the manifest; written last
models/<name>/log/<sequence, 16 digits>.json     the truth: numbered events, each created once
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from schemas.errors import Conflict, Corrupt, StoreError, UsageError
from schemas.frozen import NAME_PATTERN, Frozen, canonical_json, digest_of
from schemas.references import ModelRef
from schemas.versions import Event, Manifest, ModelLog
from tasks.services.store import Store

VERSION_PATTERN = re.compile(r"[0-9a-f]{8,64}")
Parsed = TypeVar("Parsed", bound=Frozen)


def list_models(store: Store) -> list[str]:
    """Give every model that has a version or a log."""
    return sorted(store.list_folders("models/"))


def list_versions(store: Store, name: str) -> list[str]:
    """Give the complete versions of a model, those with a manifest."""
    prefix = f"models/{checked_name(name)}/versions/"
    keys = [key for key in store.list_keys(prefix) if key.endswith("/manifest.json")]
    return [key.removeprefix(prefix).removesuffix("/manifest.json") for key in keys]


def add_version(store: Store, manifest: Manifest) -> str:
    """Commit a version whose blobs are in the store; doing it again changes nothing."""
    for name, blob in manifest.files.items():
        if not store.holds(blob):
            raise StoreError(f"{name} of {manifest.model} is not in the store; the version was not added. Run again.")
    key = _manifest_key(manifest.model, manifest.version)
    if not store.create(key, canonical_json(manifest.model_dump(mode="json"))):
        raise Corrupt(f"{key}: other bytes than this version's are stored there.")
    return manifest.version


def read_manifest(store: Store, name: str, version: str) -> Manifest:
    """Give a version's manifest, checked against its name. Raises StoreError."""
    key = _manifest_key(checked_name(name), version)
    raw = store.read(key)
    if raw is None:
        raise StoreError(f"{key}: this version is named but its manifest is missing; it cannot be used.")
    if hashlib.sha256(raw).hexdigest() != version:
        raise Corrupt(f"{key}: the manifest does not hash to its version; it was altered or damaged.")
    return _parsed(Manifest, raw, key)


def read_log(store: Store, name: str) -> ModelLog:
    """Give a model's events, each checked against its predecessor. Raises StoreError."""
    prefix = f"models/{checked_name(name)}/log/"
    events: list[Event] = []
    head: str | None = None
    for key in store.list_keys(prefix):
        raw = store.read(key)
        if raw is None:
            raise StoreError(f"{key}: listed but not readable; the log cannot be trusted. Run again in a moment.")
        event = _parsed(Event, _unsealed(raw, key), key)
        if key != _event_key(name, len(events) + 1) or event.sequence != len(events) + 1:
            raise Corrupt(f"{key}: expected event {len(events) + 1} here; an event is missing or misnamed.")
        if event.previous_event_sha256 != head:
            raise Corrupt(f"{key}: it does not follow the event before it; the log was altered.")
        head = hashlib.sha256(raw).hexdigest()
        events.append(event)
    return ModelLog(events=tuple(events), head_sha256=head)


def append_event(store: Store, name: str, event: Event) -> None:
    """Add the event at its number; Conflict when somebody else has taken it."""
    key = _event_key(checked_name(name), event.sequence)
    if not store.create(key, _sealed(event)):
        raise Conflict(f"{key}: somebody else promoted first.")


def resolve(store: Store, name: str, alias_or_version: str) -> str | None:
    """Give the version that an alias or the beginning of a version names, None when nothing does."""
    aliases = read_log(store, name).aliases
    if alias_or_version in aliases:
        return aliases[alias_or_version]
    if not VERSION_PATTERN.fullmatch(alias_or_version):
        return None
    found = [version for version in list_versions(store, name) if version.startswith(alias_or_version)]
    if len(found) > 1:
        raise UsageError(f"{name}@{alias_or_version}: {len(found)} versions begin so; give more digits.")
    return found[0] if found else None


def resolve_reference(store: Store, reference: str) -> tuple[str, str]:
    """Take `name@alias` or `name@version` apart into name and version. Raises UsageError."""
    name, _, target = reference.partition("@")
    version = resolve(store, checked_name(name), target)
    if version is None:
        aliases = ", ".join(sorted(read_log(store, name).aliases)) or "none"
        raise UsageError(
            f"{reference}: {target!r} is neither an alias nor a version of {name!r}. Its aliases are: {aliases}. "
            "`tunegate models` lists what there is."
        )
    return name, version


@contextmanager
def unpacked(store: Store, model: ModelRef) -> Iterator[Path]:
    """A folder with a model's files, each checked against its digest, for as long as the body runs."""
    store.local.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.local, prefix="unpacked-") as name:
        for file, blob in model.files.items():
            os.link(store.fetch(blob), Path(name) / file)
        yield Path(name)


def checked_name(name: str) -> str:
    """Refuse a name that could become another key than its own."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(
            f"{name!r} is not a model's name: use 1 to 64 lower-case letters, digits and inner '.', '-', '_'."
        )
    return name


def _parsed(model: type[Parsed], raw: bytes, key: str) -> Parsed:
    try:
        return TypeAdapter(model).validate_python(json.loads(raw))
    except (ValueError, ValidationError):
        raise Corrupt(f"{key}: it is not a {model.__name__.lower()} that this version of tunegate can read.") from None


def _sealed(event: Event) -> bytes:
    """An event with the digest of all else in it: the newest one is followed by none that could hold its digest."""
    fields = event.model_dump(mode="json")
    return canonical_json(fields | {"sha256": digest_of(fields)})


def _unsealed(raw: bytes, key: str) -> bytes:
    """What was sealed. Raises Corrupt where a byte is another one; events of before the seal pass as they are."""
    try:
        fields = json.loads(raw)
        seal = fields.pop("sha256", None)
    except (ValueError, AttributeError):
        raise Corrupt(f"{key}: it is no JSON object; it was altered or damaged.") from None
    if seal is not None and raw != canonical_json(fields | {"sha256": digest_of(fields)}):
        raise Corrupt(f"{key}: the event does not hash to the digest in it; it was altered or damaged.")
    return canonical_json(fields)


def _manifest_key(name: str, version: str) -> str:
    return f"models/{name}/versions/{version}/manifest.json"


def _event_key(name: str, sequence: int) -> str:
    return f"models/{name}/log/{sequence:016d}.json"
