"""Garbage collection: what nothing names any more is condemned, and removed when it still is so after a grace.

A version stays while an alias names it or has named it lately, while it is proposed, pinned or young. A blob stays
while an object that stays names its digest; records, leases and checkpoints, no truths, while they are young, and a
record while it is what a recipe's step used last, not long ago.

No clock decides what a writer may rely on. Who removes holds a lease, taken before the marking; who adds a version or
an event, a pin or a proposal writes first what makes it stay, then waits while that lease is held, then sees whether
all is there (`registry.check_survived`): the one sees the other, whichever came first. Whoever waits for a collector in
vain takes its lease away, and it asks for that before each object that it removes. It gives the lease up itself after
TURN_SECONDS, and takes it again a little later.

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
from tasks.services.registry.versions import COLLECTION, list_models
from tasks.services.storage import leases
from tasks.services.storage.leases import sole_holder
from tasks.services.storage.store import Listed, Store, map_in_threads

GRACE = timedelta(days=1)
"""Longer than the longest upload and what comes between it and the manifest."""
TURN_SECONDS = 30.0
"""A rollback may be waiting while the collector removes."""
PAUSE_POLLS = 3
"""In a pause of so many polls whoever waits sees that the lease is free."""
CONDEMNED = "collected/condemned.json"
UPLOADED = ("blobs/", "checkpoints/")
READERS = 8
DIGEST = re.compile(rb"[0-9a-f]{64}")
VERSION_OBJECT = re.compile(r"models/([^/]+)/versions/([0-9a-f]{64})/(.+)")
PIN = re.compile(r"models/([^/]+)/pins/([0-9a-f]{64})[-.]")
HOLD = re.compile(r"models/[^/]+/pins/[0-9a-f]{64}-.*")
log = logging.getLogger(__name__)


class Retention(Frozen):
    """What stays beside what is named now."""

    versions: int = Field(5, ge=1, description="Last versions that each alias has named.")
    days: float = Field(90.0, ge=0, description="Days that versions, records and checkpoints stay in any case.")


class Collection(Frozen):
    """What was found, by key with its size in bytes."""

    kept: dict[str, int]
    young: dict[str, int] = Field(description="Condemned, but not for as long as the grace.")
    due: dict[str, int] = Field(description="Condemned for longer: removed, unless it was a dry run.")


def versions_among(keys: Iterable[str]) -> list[tuple[str, str]]:
    """Give name and version of each manifest among these keys."""
    found = filter(None, map(VERSION_OBJECT.fullmatch, keys))
    return [(one[1], one[2]) for one in found if one[3] == MANIFEST]


def foresee(store: Store, retention: Retention) -> Collection:
    """Tell what `collect` would do."""
    return _mark(store, retention)[0]


def collect(store: Store, retention: Retention) -> Collection:
    """Remove what was condemned at least a grace ago and is named by nothing still, then condemn what else is.

    Whoever waits has a turn after each of the collector's, so what is left is marked anew before it is removed.
    """
    removed: dict[str, int] = {}
    while True:
        with sole_holder(store, COLLECTION) as confirm:
            found, condemned = _mark(store, retention)
            store.replace(CONDEMNED, canonical_json({key: at.isoformat() for key, at in condemned.items()}))
            # Manifests first: what is left by a crash is files that nobody names, not a version without files.
            gone = _remove(store, sorted(found.due, key=lambda key: (not key.endswith(MANIFEST), key)), confirm)
        removed |= {key: found.due[key] for key in gone}
        if len(gone) == len(found.due):
            break
        time.sleep(PAUSE_POLLS * leases.POLL_SECONDS)
    _give_up_uploads(store)
    return found.model_copy(update={"due": removed})


def _mark(store: Store, retention: Retention) -> tuple[Collection, dict[str, datetime]]:
    """Tell apart what is there now, by one list of it."""
    now, objects = store.now(), store.list_objects("")
    return _sort(objects, _find_kept(store, retention, objects, now), _read_condemned(store), now)


def _give_up_uploads(store: Store) -> None:
    """Give up what was begun a grace ago where ours are: somebody else's are not for us to end."""
    now = store.now()
    for upload in store.list_uploads():
        if upload.key.startswith(UPLOADED) and now - upload.begun > GRACE:
            store.abort(upload)


def _sort(
    objects: list[Listed], kept: set[str], condemned: dict[str, datetime], now: datetime
) -> tuple[Collection, dict[str, datetime]]:
    """Tell apart what stays, what has to wait and what is due; and say what is condemned from now on.

    What was written again after it was condemned is condemned anew.
    """
    sizes = {listed.key: listed.size_bytes for listed in objects}
    since = {
        listed.key: at if (at := condemned.get(listed.key)) and listed.modified <= at else now
        for listed in objects
        if listed.key not in kept
    }
    due = {key for key, at in since.items() if now - at >= GRACE}
    parts = kept & sizes.keys(), since.keys() - due, due
    stay, young, gone = ({key: sizes[key] for key in sorted(part)} for part in parts)
    return Collection(kept=stay, young=young, due=gone), since


def _find_kept(store: Store, retention: Retention, objects: list[Listed], now: datetime) -> set[str]:
    """The keys of what stays of what was listed."""
    # After the list: where a hold is gone from it, its event is in the log by now.
    logs = {name: read_log(store, name) for name in list_models(store)}
    after = now - timedelta(days=retention.days)
    versions = _versions_to_keep(store, retention, after, objects, logs)
    used = _records_in_use(store, objects, after)
    aged = _with_age_of_folder(objects)
    kept = {listed.key for listed in aged if listed.key in used or _stays(listed, versions, after, now - GRACE)}
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


def _stays(listed: Listed, versions: set[tuple[str, str]], after: datetime, after_grace: datetime) -> bool:
    """Whether an object other than a blob stays."""
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
    """The keys of the records that recipes' steps had last: each run notes its keys (`cache.remember`), hits too."""
    notes = [listed.key for listed in objects if listed.key.startswith("last-keys/") and listed.modified > after]
    # A record is named by the SHA-256 of the parts of its key, and a note is these parts.
    named = {hashlib.sha256(raw or b"").hexdigest() for raw in map_in_threads(store.read, notes, READERS)}
    records = [listed.key for listed in objects if listed.key.startswith("cache/")]
    return {key for key in records if key.rpartition("/")[2].removesuffix(".json") in named}


def _with_age_of_folder(objects: list[Listed]) -> list[Listed]:
    """What belongs to one lease or one checkpoint is as young as the youngest of it."""
    folders: dict[str, datetime] = {}
    for listed in objects:
        folder = _folder(listed.key)
        folders[folder] = max(listed.modified, folders.get(folder, listed.modified))
    return [listed._replace(modified=folders[_folder(listed.key)]) for listed in objects]


def _folder(key: str) -> str:
    """leases/<step>/<key>, checkpoints/<step>/<key>; another object is alone."""
    # The collector's own lease is young whenever this is asked, so the numbers before it would never go.
    is_alone = key.startswith(f"leases/{COLLECTION}/") or not key.startswith(("leases/", "checkpoints/"))
    return key if is_alone else "/".join(key.split("/")[:3])


def _versions_to_keep(
    store: Store, retention: Retention, after: datetime, objects: list[Listed], logs: dict[str, ModelLog]
) -> set[tuple[str, str]]:
    """Name and version of each: named by an alias now or lately, pinned, held or young."""
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
        log.warning("%s is no list of condemned objects: every one has its grace again.", CONDEMNED)
        return {}


def _remove(store: Store, keys: list[str], confirm: Callable[[], None]) -> list[str]:
    """Remove one after the other until the turn is over; give those that are gone."""
    end = time.monotonic() + TURN_SECONDS
    for number, key in enumerate(keys, 1):
        confirm()
        store.delete([key])
        if time.monotonic() > end:
            return keys[:number]
    return keys
