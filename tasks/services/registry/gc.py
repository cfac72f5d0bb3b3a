"""Garbage collection by mark and sweep: unreferenced objects are condemned, and deleted after a grace period.

A version is kept while an alias names it or has named it lately, while it is proposed, pinned or young. A blob is kept
while a kept object names its digest; records, leases and checkpoints while they are young, and a record also while it
is the last that a recipe's step used, not long ago.

No clock decides what a writer may rely on. The collector holds a lease from before the marking; a writer of a version,
event, pin or proposal writes first what keeps its target, then waits until that lease is free, then checks that all
is there (`versions.check_survived`): one of the two sees the other, whichever came first. A writer that waits in vain
takes the collector's lease over, and the collector confirms its lease before each deletion. It releases the lease
itself after TURN_SECONDS, and takes it again a little later.

collected/condemned.json   key of each condemned object and when it was condemned
"""

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from pydantic import Field

from schemas.frozen import Frozen, canonical_json
from schemas.records.versions import ModelLog
from tasks.services.registry.documents import MANIFEST
from tasks.services.registry.log import read_log
from tasks.services.registry.proposals import list_standings
from tasks.services.registry.versions import GC_LEASE, list_models
from tasks.services.storage import leases
from tasks.services.storage.leases import sole_holder
from tasks.services.storage.store import Listed, Store, map_in_threads

GRACE = timedelta(days=1)
"""Longer than the longest upload and the steps between it and the manifest."""
TURN_SECONDS = 30.0
"""Longest time for which one sweep may block a rollback."""
PAUSE_POLLS = 3
"""Polls that a waiter gets between two sweeps, enough to see that the lease is free."""
CONDEMNED = "collected/condemned.json"
UPLOADED = ("blobs/", "checkpoints/")
READERS = 8
DIGEST = re.compile(rb"[0-9a-f]{64}")
VERSION_OBJECT = re.compile(r"models/([^/]+)/versions/([0-9a-f]{64})/(.+)")
PIN = re.compile(r"models/([^/]+)/pins/([0-9a-f]{64})[-.]")
HOLD = re.compile(r"models/[^/]+/pins/[0-9a-f]{64}-.*")
log = logging.getLogger(__name__)


class Retention(Frozen):
    """Rules for keeping objects that no alias names now."""

    versions: int = Field(5, ge=1, description="Last versions that each alias has named.")
    days: float = Field(90.0, ge=0, description="Days that versions, records and checkpoints stay in any case.")


class Marked(Frozen):
    """All objects of the store, by key with their size in bytes."""

    kept: dict[str, int]
    young: dict[str, int] = Field(description="Condemned, but not for as long as the grace.")
    due: dict[str, int] = Field(description="Condemned for longer: removed, unless it was a dry run.")


def versions_among(keys: Iterable[str]) -> list[tuple[str, str]]:
    """Return name and version of each manifest among these keys."""
    found = filter(None, map(VERSION_OBJECT.fullmatch, keys))
    return [(one[1], one[2]) for one in found if one[3] == MANIFEST]


def preview(store: Store, retention: Retention) -> Marked:
    """Mark without writing: the dry run of `collect`."""
    return _mark(store, retention)[0]


def collect(store: Store, retention: Retention) -> Marked:
    """Delete objects that were condemned a grace period ago and are still unreferenced, and condemn the others.

    Waiting writers get a turn after each sweep, so the remaining objects are marked again before the next.
    """
    removed: dict[str, int] = {}
    while True:
        with sole_holder(store, GC_LEASE) as confirm:
            found, condemned = _mark(store, retention)
            store.replace(CONDEMNED, canonical_json({key: at.isoformat() for key, at in condemned.items()}))
            # Manifests first: a crash leaves unreferenced files, never a version without files.
            swept = _remove(store, sorted(found.due, key=lambda key: (not key.endswith(MANIFEST), key)), confirm)
        removed |= {key: found.due[key] for key in swept}
        if len(swept) == len(found.due):
            break
        time.sleep(PAUSE_POLLS * leases.POLL_SECONDS)
    _abort_old_uploads(store)
    return found.model_copy(update={"due": removed})


def _mark(store: Store, retention: Retention) -> tuple[Marked, dict[str, datetime]]:
    """Mark all objects of one listing."""
    now, objects = store.now(), store.list_objects("")
    return _sort(objects, _find_kept(store, retention, objects, now), _read_condemned(store), now)


def _abort_old_uploads(store: Store) -> None:
    """Abort multipart uploads older than the grace period under our prefixes; others belong to other programs."""
    now = store.now()
    for upload in store.list_uploads():
        if upload.key.startswith(UPLOADED) and now - upload.begun > GRACE:
            store.abort(upload)


def _sort(
    objects: list[Listed], kept: set[str], condemned: dict[str, datetime], now: datetime
) -> tuple[Marked, dict[str, datetime]]:
    """Sort objects into kept, young and due; also return when each condemned object was condemned.

    An object that was written again since is condemned again.
    """
    sizes = {listed.key: listed.size_bytes for listed in objects}
    since = {
        listed.key: at if (at := condemned.get(listed.key)) and listed.modified <= at else now
        for listed in objects
        if listed.key not in kept
    }
    due = {key for key, at in since.items() if now - at >= GRACE}
    parts = kept & sizes.keys(), since.keys() - due, due
    kept_sizes, young_sizes, due_sizes = ({key: sizes[key] for key in sorted(part)} for part in parts)
    return Marked(kept=kept_sizes, young=young_sizes, due=due_sizes), since


def _find_kept(store: Store, retention: Retention, objects: list[Listed], now: datetime) -> set[str]:
    """Return the listed keys that are kept."""
    # Read after the listing: the event of a hold that is not listed any more is in the log by now.
    logs = {name: read_log(store, name) for name in list_models(store)}
    after = now - timedelta(days=retention.days)
    versions = _versions_to_keep(store, retention, after, objects, logs)
    used = _records_in_use(store, objects, after)
    aged = _with_age_of_folder(objects)
    kept = {listed.key for listed in aged if listed.key in used or _is_kept(listed, versions, after, now - GRACE)}
    naming = [key for key in kept if key.endswith(".json") and key.startswith(("models/", "cache/"))]
    raws = map_in_threads(store.read, naming, READERS)
    named = {found.decode() for raw in raws for found in DIGEST.findall(raw or b"")}
    named |= {event.gate_sha256 for log in logs.values() for event in log.events if event.gate_sha256}
    named |= {pinned[2] for listed in objects if (pinned := PIN.match(listed.key))}
    return kept | {
        listed.key
        for listed in objects
        if listed.key.startswith("blobs/") and (listed.key.rpartition("/")[2] in named or now - listed.modified < GRACE)
    }


def _is_kept(listed: Listed, versions: set[tuple[str, str]], after: datetime, after_grace: datetime) -> bool:
    """Whether an object other than a blob is kept."""
    if found := VERSION_OBJECT.fullmatch(listed.key):
        return (found[1], found[2]) in versions
    match listed.key.partition("/")[0]:
        case "blobs":
            return False
        case "cache" | "checkpoints":
            return listed.modified > after
        case "leases" | "doctor":
            return listed.modified > after_grace
    return not HOLD.fullmatch(listed.key) or listed.modified > after_grace


def _records_in_use(store: Store, objects: list[Listed], after: datetime) -> set[str]:
    """Return the keys of records that recipes' steps used last, as each run notes them (`records.remember`)."""
    notes = [listed.key for listed in objects if listed.key.startswith("last-keys/") and listed.modified > after]
    # A note holds the parts of a key; their SHA-256 names the record.
    named = {hashlib.sha256(raw or b"").hexdigest() for raw in map_in_threads(store.read, notes, READERS)}
    records = [listed.key for listed in objects if listed.key.startswith("cache/")]
    return {key for key in records if key.rpartition("/")[2].removesuffix(".json") in named}


def _with_age_of_folder(objects: list[Listed]) -> list[Listed]:
    """Date all objects of a lease or checkpoint by the youngest of them."""
    folders: dict[str, datetime] = {}
    for listed in objects:
        folder = _folder(listed.key)
        folders[folder] = max(listed.modified, folders.get(folder, listed.modified))
    return [listed._replace(modified=folders[_folder(listed.key)]) for listed in objects]


def _folder(key: str) -> str:
    """Return leases/<step>/<key> or checkpoints/<step>/<key>; for other objects, the key itself."""
    # The collector's own lease is always young here, so its older numbers would never be deleted.
    is_alone = key.startswith(f"leases/{GC_LEASE}/") or not key.startswith(("leases/", "checkpoints/"))
    return key if is_alone else "/".join(key.split("/")[:3])


def _versions_to_keep(
    store: Store, retention: Retention, after: datetime, objects: list[Listed], logs: dict[str, ModelLog]
) -> set[tuple[str, str]]:
    """Return name and version of those named by an alias now or lately, proposed, pinned, held or young."""
    kept: set[tuple[str, str]] = set()
    for name, log in logs.items():
        for versions in log.named.values():
            kept |= {(name, version) for version in versions[-retention.versions :]}
        standings = list_standings(store, name)
        kept |= {(name, each.proposal.version) for each in standings if each.state in ("waiting", "unfinished")}
    for listed in objects:
        if pinned := PIN.match(listed.key):
            kept.add((pinned[1], pinned[2]))
        found = VERSION_OBJECT.fullmatch(listed.key)
        if found and listed.modified > after:
            kept.add((found[1], found[2]))
    return kept


def _read_condemned(store: Store) -> dict[str, datetime]:
    try:
        found = json.loads(store.read(CONDEMNED) or b"{}")
        return {key: datetime.fromisoformat(at) for key, at in found.items()}
    except (ValueError, TypeError, AttributeError):
        log.warning("%s is not a list of condemned objects: every grace period starts again.", CONDEMNED)
        return {}


def _remove(store: Store, keys: list[str], confirm: Callable[[], None]) -> list[str]:
    """Delete objects one by one until the turn is over; return the deleted keys."""
    end = time.monotonic() + TURN_SECONDS
    for number, key in enumerate(keys, 1):
        confirm()
        store.delete([key])
        if time.monotonic() > end:
            return keys[:number]
    return keys
