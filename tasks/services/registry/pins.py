"""Pins and holds, which keep versions from garbage collection.

models/<name>/pins/<version>.json          a pin, set and removed by hand
models/<name>/pins/<digest>-<nonce>.json   a hold on a version or verdict while an event that names it is written
"""

import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from schemas.errors import StoreError
from schemas.frozen import Frozen, canonical_json
from tasks.services.storage.store import Store

log = logging.getLogger(__name__)


class Pin(Frozen):
    """The reason to keep a version, and the account that pinned it."""

    reason: str
    by: str


def pin(store: Store, name: str, version: str, reason: Pin) -> bool:
    """Keep a version until `unpin`; False when an existing pin gets the new reason."""
    key = _pin_key(name, version)
    is_new = store.size(key) is None
    store.replace(key, canonical_json(reason.model_dump()))
    return is_new


def unpin(store: Store, name: str, version: str) -> bool:
    """Remove a pin; False when there was none."""
    key = _pin_key(name, version)
    was_pinned = store.size(key) is not None
    store.delete([key])
    return was_pinned


def list_pins(store: Store, name: str) -> dict[str, Pin]:
    """Return the pins of a model by version, without holds."""
    prefix = f"models/{name}/pins/"
    files = [key.removeprefix(prefix) for key in store.list_keys(prefix)]
    versions = [file.removesuffix(".json") for file in files if re.fullmatch(r"[0-9a-f]{64}\.json", file)]
    return {version: _read_pin(store, _pin_key(name, version)) for version in versions}


def _read_pin(store: Store, key: str) -> Pin:
    """Read a pin; a damaged one still keeps its version."""
    try:
        return Pin.model_validate_json(store.read(key) or b"")
    except ValidationError:
        return Pin(reason="unreadable", by="unknown")


@contextmanager
def held(store: Store, name: str, *digests: str) -> Iterator[None]:
    """Hold versions and blobs during the body; garbage collection deletes holds that a crash leaves."""
    keys: list[str] = []
    try:
        for digest in digests:
            key = _pin_key(name, f"{digest}-{secrets.token_hex(8)}")
            store.create(key, b"{}")
            keys.append(key)
        yield
    finally:
        try:
            store.delete(keys)
        except StoreError as error:
            # A hold too many keeps a version for another day; the body's outcome matters more.
            log.warning("%s was not removed: %s", ", ".join(keys), error)


def _pin_key(name: str, what: str) -> str:
    return f"models/{name}/pins/{what}.json"
