"""Whether a store keeps the promises that the registry rests on; probed, not believed."""

import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from schemas.errors import StoreError
from schemas.frozen import Frozen
from tasks.services.store import Store

RACERS = 8
FOLDER = "doctor"


class Finding(Frozen):
    """One promise, and what was seen."""

    promise: str
    is_kept: bool
    seen: str


def examine(store: Store) -> list[Finding]:
    """Try each promise on objects of its own, which are removed. Raises StoreError where the store does not answer."""
    prefix = f"{FOLDER}/{secrets.token_hex(8)}"
    try:
        return [probe(store, prefix) for probe in PROBES]
    finally:
        store.delete(store.list_keys(f"{prefix}/"))


def _reads_what_was_written(store: Store, prefix: str) -> Finding:
    store.replace(f"{prefix}/read", b"one")
    store.replace(f"{prefix}/read", b"two")
    found = store.read(f"{prefix}/read")
    return Finding(promise="a read sees the last write", is_kept=found == b"two", seen=f"wrote two, read {found!r}")


def _lists_what_was_written(store: Store, prefix: str) -> Finding:
    keys = [f"{prefix}/list/{number:04d}" for number in range(20)]
    for key in keys:
        store.replace(key, b"")
    found = store.list_keys(f"{prefix}/list/")
    return Finding(
        promise="a list shows every write at once, in order",
        is_kept=found == keys,
        seen=f"{len(found)} of {len(keys)} keys{'' if found == sorted(found) else ', out of order'}",
    )


def _lets_one_of_many_create(store: Store, prefix: str) -> Finding:
    """Racers write different bytes under one key; `Store.create` tells each whether its own are there."""
    with ThreadPoolExecutor(RACERS) as racers:
        won = list(racers.map(lambda number: store.create(f"{prefix}/race", str(number).encode()), range(RACERS)))
    stored = store.read(f"{prefix}/race")
    is_kept = sum(won) == 1 and stored == str(won.index(True)).encode()
    return Finding(
        promise="of several who create an object one wins", is_kept=is_kept, seen=f"{sum(won)} of {RACERS} won"
    )


def _keeps_what_was_created(store: Store, prefix: str) -> Finding:
    store.create(f"{prefix}/once", b"first")
    is_taken = store.create(f"{prefix}/once", b"second")
    found = store.read(f"{prefix}/once")
    return Finding(
        promise="what was created is not created again",
        is_kept=not is_taken and found == b"first",
        seen=f"the second was {'taken' if is_taken else 'refused'}, read {found!r}",
    )


def _refuses_altered_bytes(store: Store, prefix: str) -> Finding:
    wrong = hashlib.sha256(b"other bytes").digest()
    try:
        store.put_with_checksum(f"{prefix}/checksum", b"bytes", wrong)
    except StoreError:
        is_kept = True
    else:
        is_kept = False
    return Finding(
        promise="bytes that do not match their checksum are refused",
        is_kept=is_kept,
        seen="refused" if is_kept else "taken: transfers are checked at the reader only",
    )


PROBES: tuple[Callable[[Store, str], Finding], ...] = (
    _reads_what_was_written,
    _lists_what_was_written,
    _lets_one_of_many_create,
    _keeps_what_was_created,
    _refuses_altered_bytes,
)
