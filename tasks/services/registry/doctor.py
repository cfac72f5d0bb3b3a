"""Probes of the store for the promises that the registry relies on, run before anything is promoted.

The findings are recorded under TUNEGATE_HOME/capabilities, not in the bucket: a copied bucket lies in another store,
and a store that breaks its promises cannot vouch for itself.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier

from pydantic import ValidationError

from schemas.errors import StoreError, Unavailable
from schemas.frozen import Frozen, digest_of
from tasks.services.process.files import atomic_write
from tasks.services.storage.store import Store
from tasks.services.storage.translation import Rejected

RACERS = 4  # with 8, SeaweedFS answers the last after 2-7 s
RACES = 3
LISTED = 20
FOLDER = "doctor"
FIRST = "a read sees the last write"
CHECKSUM = "bytes that do not match their checksum are refused"
"""The only promise that the registry does not rely on."""
ELSEWHERE = "docs/registry.md lists stores that work."
TRUSTED = timedelta(days=7)


class Finding(Frozen):
    """One promise, and what the probe observed."""

    promise: str
    is_kept: bool
    seen: str
    is_needed: bool = True
    """Whether the registry relies on it; the others are only reported."""
    advice: str | None = None
    """The remedy, where the store refused a request of the probe."""
    is_lasting: bool = True
    """Whether a repetition would find the same; not where the store failed to answer."""


class Capabilities(Frozen):
    """Findings about one bucket of one endpoint."""

    endpoint: str
    bucket: str
    at: datetime
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.is_needed and not finding.is_kept]

    @property
    def advice(self) -> str:
        """The remedies for the refusals, each once."""
        return " ".join(dict.fromkeys(finding.advice for finding in self.broken if finding.advice)) or ELSEWHERE


def check_store(store: Store, home: Path) -> None:
    """Raise StoreError on a store that breaks a promise; a recent record saves the probes."""
    found = _last_record(store, home)
    # Servers are upgraded, so a record expires, and a failure is probed again.
    if found is None or found.broken or not timedelta() <= datetime.now(UTC) - found.at < TRUSTED:
        found = examine(store, home)
    if found.broken:
        seen = "; ".join(f"{finding.promise} ({finding.seen})" for finding in found.broken)
        raise (StoreError if any(finding.is_lasting for finding in found.broken) else Unavailable)(
            f"{found.endpoint}, bucket {found.bucket!r}, breaks promises that the registry relies on, so nothing is "
            f"promoted there. Broken: {seen}. See `tunegate doctor`. {found.advice}"
        )


def examine(store: Store, home: Path) -> Capabilities:
    """Probe each promise on temporary objects and record the findings. Raises StoreError where nothing answers."""
    prefix = f"{FOLDER}/{secrets.token_hex(8)}"
    try:
        findings = tuple(_observe(store, prefix, promise) for promise in PROBES)
    finally:
        # Garbage collection deletes what is left after a day.
        with contextlib.suppress(StoreError):
            store.delete([f"{prefix}/{name}" for name in _names()])
    found = Capabilities(endpoint=store.address.endpoint, bucket=store.bucket, at=datetime.now(UTC), findings=findings)
    atomic_write(_record_path(store, home), found.model_dump_json(indent=2).encode(), f".{secrets.token_hex(4)}")
    return found


def _observe(store: Store, prefix: str, promise: str) -> Finding:
    """Probe one promise; a request that the store refuses breaks it, in the store's words.

    Raises StoreError where the first probe finds no store, no bucket or no credentials.
    """
    finding = partial(Finding, promise=promise, is_needed=promise != CHECKSUM)
    try:
        is_kept, seen = PROBES[promise](store, prefix)
    except Rejected as error:
        return finding(is_kept=False, seen=f"the store answered {error.answer}", advice=error.advice)
    except StoreError as error:
        if promise == FIRST:
            raise
        return finding(is_kept=False, seen=str(error), is_lasting=not isinstance(error, Unavailable))
    return finding(is_kept=is_kept, seen=seen)


def _names() -> list[str]:
    """Names of all temporary objects; a store may be unable to list them."""
    races = [f"race-{number}" for number in range(RACES)]
    return ["read", *_listed(), *races, "once", "upload", "checksum", "deleted"]


def _listed() -> list[str]:
    return [f"listed-{number:04d}" for number in range(LISTED)]


def _last_record(store: Store, home: Path) -> Capabilities | None:
    path = _record_path(store, home)
    try:
        return Capabilities.model_validate_json(path.read_bytes()) if path.exists() else None
    except ValidationError:
        # Of another version of tunegate, or damaged: probe again.
        return None


def _record_path(store: Store, home: Path) -> Path:
    return home / "capabilities" / f"{digest_of([store.address.endpoint, store.bucket])[:16]}.json"


def _reads_what_was_written(store: Store, prefix: str) -> tuple[bool, str]:
    store.replace(f"{prefix}/read", b"one")
    store.replace(f"{prefix}/read", b"two")
    found = store.read(f"{prefix}/read")
    return found == b"two", f"wrote two, read {found!r}"


def _lists_what_was_written(store: Store, prefix: str) -> tuple[bool, str]:
    keys = [f"{prefix}/{name}" for name in _listed()]
    for key in keys:
        store.replace(key, b"")
    found = store.list_keys(f"{prefix}/listed-")
    return found == keys, f"{len(found)} of {len(keys)} keys{'' if found == sorted(found) else ', out of order'}"


def _lets_one_of_many_create(store: Store, prefix: str) -> tuple[bool, str]:
    """Race to create one key with different bytes; `Store.create` is True for the winner only."""
    with ThreadPoolExecutor(RACERS) as racers:
        races = [_race(store, f"{prefix}/race-{number}", racers) for number in range(RACES)]
    is_kept = all(len(winners) == 1 and stored == winners[0] for winners, stored in races)
    return is_kept, f"of {RACERS} won {', '.join(str(len(winners)) for winners, _ in races)}"


def _race(store: Store, key: str, racers: ThreadPoolExecutor) -> tuple[list[bytes], bytes | None]:
    """Return the bytes of the racers that were told they won, and the bytes stored."""
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
    return not is_taken and found == b"first", f"the second was {'accepted' if is_taken else 'refused'}, read {found!r}"


def _takes_checksums(store: Store, prefix: str) -> tuple[bool, str]:
    store.put_with_checksum(f"{prefix}/upload", b"bytes", hashlib.sha256(b"bytes").digest())
    return True, "accepted"


def _refuses_altered_bytes(store: Store, prefix: str) -> tuple[bool, str]:
    """Send a wrong checksum after a right one, whose refusal would be for another reason, and look what is stored."""
    key = f"{prefix}/checksum"
    store.put_with_checksum(key, b"bytes", hashlib.sha256(b"bytes").digest())
    try:
        store.put_with_checksum(key, b"altered", hashlib.sha256(b"other bytes").digest())
    except StoreError:
        found = store.read(key)
        return found == b"bytes", "refused" if found == b"bytes" else f"refused, but read {found!r}"
    return False, "accepted: transfers are verified by readers only"


def _deletes(store: Store, prefix: str) -> tuple[bool, str]:
    store.replace(f"{prefix}/deleted", b"")
    store.delete([f"{prefix}/deleted"])
    is_gone = store.read(f"{prefix}/deleted") is None
    return is_gone, "gone" if is_gone else "still there"


# Each returns whether the promise holds, and what was observed.
PROBES: dict[str, Callable[[Store, str], tuple[bool, str]]] = {
    FIRST: _reads_what_was_written,
    "a list shows every write at once, in order": _lists_what_was_written,
    "of several who create an object one wins": _lets_one_of_many_create,
    "what was created is not created again": _keeps_what_was_created,
    "what is deleted is gone at once": _deletes,
    "uploads with a checksum are accepted": _takes_checksums,
    CHECKSUM: _refuses_altered_bytes,
}
