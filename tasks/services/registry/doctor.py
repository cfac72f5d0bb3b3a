"""Whether a store keeps the promises that the registry rests on; probed, not believed, before anything is promoted.

What was seen is on record under TUNEGATE_HOME/capabilities, not in the bucket: a copy of a bucket lies in another
store, and a store that breaks its promises is no place for the proof that it keeps them.
"""

import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

from pydantic import ValidationError

from schemas.errors import StoreError
from schemas.frozen import Frozen, digest_of
from tasks.services.process.files import atomic_write
from tasks.services.storage.store import Store

RACERS = 4  # of 8, SeaweedFS answers the last after 2-7 s
RACES = 3
FOLDER = "doctor"
CHECKSUM = "bytes that do not match their checksum are refused"
"""The one promise that the registry does not rest on."""
TRUSTED = timedelta(days=7)


class Finding(Frozen):
    """One promise, and what was seen."""

    promise: str
    is_kept: bool
    seen: str
    is_needed: bool = True
    """Whether the registry rests on it; what is not needed is only told."""


class Capabilities(Frozen):
    """What one bucket of one endpoint was seen to do."""

    endpoint: str
    bucket: str
    at: datetime
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.is_needed and not finding.is_kept]


def check_store(store: Store, home: Path) -> None:
    """Raise StoreError on a store that breaks a promise; it is probed unless that was done lately."""
    found = _last_record(store, home)
    # Servers are upgraded, so neither trust nor distrust lasts.
    if found is None or found.broken or not timedelta() <= datetime.now(UTC) - found.at < TRUSTED:
        found = examine(store, home)
    if found.broken:
        seen = "; ".join(f"{finding.promise} ({finding.seen})" for finding in found.broken)
        raise StoreError(
            f"{found.endpoint}, bucket {found.bucket!r}, does not keep what the registry rests on, so nothing is "
            f"promoted there. Broken: {seen}. `tunegate doctor` tells more; docs/registry.md lists stores that do."
        )


def examine(store: Store, home: Path) -> Capabilities:
    """Try each promise on objects of its own, which are removed, and put on record what was seen.

    Raises StoreError where the store does not answer.
    """
    prefix = f"{FOLDER}/{secrets.token_hex(8)}"
    try:
        seen = {promise: probe(store, prefix) for promise, probe in PROBES.items()}
    finally:
        store.delete(store.list_keys(f"{prefix}/"))
    findings = tuple(
        Finding(promise=promise, is_kept=is_kept, is_needed=promise != CHECKSUM, seen=what)
        for promise, (is_kept, what) in seen.items()
    )
    found = Capabilities(endpoint=store.address.endpoint, bucket=store.bucket, at=datetime.now(UTC), findings=findings)
    atomic_write(_record_path(store, home), found.model_dump_json(indent=2).encode(), f".{secrets.token_hex(4)}")
    return found


def _last_record(store: Store, home: Path) -> Capabilities | None:
    path = _record_path(store, home)
    try:
        return Capabilities.model_validate_json(path.read_bytes()) if path.exists() else None
    except ValidationError:
        # Of another version of tunegate, or damaged: the store is asked again.
        return None


def _record_path(store: Store, home: Path) -> Path:
    return home / "capabilities" / f"{digest_of([store.address.endpoint, store.bucket])[:16]}.json"


def _reads_what_was_written(store: Store, prefix: str) -> tuple[bool, str]:
    store.replace(f"{prefix}/read", b"one")
    store.replace(f"{prefix}/read", b"two")
    found = store.read(f"{prefix}/read")
    return found == b"two", f"wrote two, read {found!r}"


def _lists_what_was_written(store: Store, prefix: str) -> tuple[bool, str]:
    keys = [f"{prefix}/list/{number:04d}" for number in range(20)]
    for key in keys:
        store.replace(key, b"")
    found = store.list_keys(f"{prefix}/list/")
    return found == keys, f"{len(found)} of {len(keys)} keys{'' if found == sorted(found) else ', out of order'}"


def _lets_one_of_many_create(store: Store, prefix: str) -> tuple[bool, str]:
    """Racers write different bytes under one key; `Store.create` tells each whether its own are there."""
    with ThreadPoolExecutor(RACERS) as racers:
        races = [_race(store, f"{prefix}/race-{number}", racers) for number in range(RACES)]
    is_kept = all(len(winners) == 1 and stored == winners[0] for winners, stored in races)
    return is_kept, f"of {RACERS} won {', '.join(str(len(winners)) for winners, _ in races)}"


def _race(store: Store, key: str, racers: ThreadPoolExecutor) -> tuple[list[bytes], bytes | None]:
    """Who was told to have won, and whose bytes are there."""
    line = Barrier(RACERS)

    def run(own: bytes) -> bool:
        line.wait()
        return store.create(key, own)

    names = [str(number).encode() for number in range(RACERS)]
    return [own for own, has_won in zip(names, racers.map(run, names), strict=True) if has_won], store.read(key)


def _keeps_what_was_created(store: Store, prefix: str) -> tuple[bool, str]:
    store.create(f"{prefix}/once", b"first")
    is_taken = store.create(f"{prefix}/once", b"second")
    found = store.read(f"{prefix}/once")
    return not is_taken and found == b"first", f"the second was {'taken' if is_taken else 'refused'}, read {found!r}"


def _refuses_altered_bytes(store: Store, prefix: str) -> tuple[bool, str]:
    wrong = hashlib.sha256(b"other bytes").digest()
    try:
        store.put_with_checksum(f"{prefix}/checksum", b"bytes", wrong)
    except StoreError:
        return True, "refused"
    return False, "taken: transfers are checked at the reader only"


# Whether each promise is kept, and what was seen.
PROBES: dict[str, Callable[[Store, str], tuple[bool, str]]] = {
    "a read sees the last write": _reads_what_was_written,
    "a list shows every write at once, in order": _lists_what_was_written,
    "of several who create an object one wins": _lets_one_of_many_create,
    "what was created is not created again": _keeps_what_was_created,
    CHECKSUM: _refuses_altered_bytes,
}
