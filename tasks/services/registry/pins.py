"""What a collection must leave: versions that somebody has pinned, or is just about to name.

models/<name>/pins/<version>.json          by hand, until it is taken away
models/<name>/pins/<digest>-<nonce>.json   while an event is written that names this version, or this verdict
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
    """Why a version must stay, and who says so."""

    reason: str
    by: str


def pin(store: Store, name: str, version: str, reason: Pin) -> bool:
    """Keep a version until `unpin`; a pin that is there gets the new reason, and the answer is False."""
    key = _pin_key(name, version)
    is_new = store.size(key) is None
    store.replace(key, canonical_json(reason.model_dump()))
    return is_new


def unpin(store: Store, name: str, version: str) -> bool:
    """Take a pin away; False when there was none."""
    key = _pin_key(name, version)
    was_pinned = store.size(key) is not None
    store.delete([key])
    return was_pinned


def list_pins(store: Store, name: str) -> dict[str, Pin]:
    """Give by version why it must stay; holds are none of these."""
    prefix = f"models/{name}/pins/"
    files = [key.removeprefix(prefix) for key in store.list_keys(prefix)]
    versions = [file.removesuffix(".json") for file in files if re.fullmatch(r"[0-9a-f]{64}\.json", file)]
    return {version: _read_pin(store, _pin_key(name, version)) for version in versions}


def _read_pin(store: Store, key: str) -> Pin:
    """A pin whose bytes are damaged keeps its version all the same."""
    try:
        return Pin.model_validate_json(store.read(key) or b"")
    except ValidationError:
        return Pin(reason="a reason that cannot be read", by="somebody")


@contextmanager
def held(store: Store, name: str, *digests: str) -> Iterator[None]:
    """Keep versions and blobs while the body runs; what a crash leaves is removed by a collection after its grace."""
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
            # The body's outcome counts, and a hold too many keeps a version too many for a day.
            log.warning("%s was not removed: %s", ", ".join(keys), error)


def _pin_key(name: str, what: str) -> str:
    return f"models/{name}/pins/{what}.json"
