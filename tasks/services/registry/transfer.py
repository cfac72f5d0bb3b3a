"""A model from one bucket to another by way of a folder, its log intact.

All is checked on the way out and on the way in: every digest, every manifest, the chain of the log. Who is killed runs
the same command again: what is there with the right bytes is left.
"""

import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from schemas.errors import Conflict, Corrupt, StoreError, UsageError
from schemas.frozen import Frozen
from schemas.records.references import Blob
from schemas.records.versions import ModelLog
from tasks.services.process.files import replacing
from tasks.services.registry.bundle import DIGEST, NAMES, PARTS, SUMS, Mirror, kind_of
from tasks.services.registry.log import checked_name, copy_head, read_whole_log
from tasks.services.registry.pins import held
from tasks.services.registry.versions import COLLECTION, list_versions, read_manifest, refuse_unknown_model
from tasks.services.storage.leases import wait_until_free
from tasks.services.storage.progress import progress_bar
from tasks.services.storage.store import Objects, Store, blob_key, file_digest, map_in_threads

GATE = re.compile(rb'"gate_sha256":"([0-9a-f]{64})"')
logger = logging.getLogger(__name__)


class Moved(Frozen):
    """A model that was moved; `num_written` of its objects had to be written."""

    name: str
    num_events: int
    num_versions: int
    num_objects: int
    num_written: int

    def __str__(self) -> str:
        what = f"{self.num_events} events, {self.num_versions} versions"
        return f"{self.name}: {what}; {self.num_written} of {self.num_objects} objects were written now."


def export_model(store: Store, name: str, folder: Path) -> Moved:
    """Write a model's log, versions, pins, proposals and their blobs into a folder. Raises UsageError, StoreError."""
    mirror = Mirror(folder, checked_name(name))
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder.")
    refuse_unknown_model(store, name)
    # The log first: whatever its events name was whole before them.
    events = store.list_keys(f"models/{name}/log/")
    kinds = {key: kind_of(key, name) for key in store.list_keys(f"models/{name}/")}
    others = [key for key, kind in kinds.items() if kind not in (None, "event")]
    # The copy of the log is made again where the model goes.
    unknown = [key for key, kind in kinds.items() if kind is None and key != f"models/{name}/head.json"]
    if unknown:
        logger.warning("%d objects that are no part of a model stay behind, such as %s.", len(unknown), unknown[0])
    num_written = sum(mirror.add(key, _read(store, key)) for key in events + others)
    log = read_whole_log(mirror, name)
    blobs = [*_files(mirror, log), *_verdicts(store, mirror, log)]
    num_written += _move(blobs, "export", lambda blob: _fetch(store, blob, mirror))
    mirror.digests |= {blob_key(blob.digest): blob.digest for blob in blobs}
    mirror.close()
    return _moved(mirror, num_written)


def import_models(store: Store, folder: Path) -> list[Moved]:
    """Put every model of a folder into the store, in an order in which readers find each whole.

    Raises UsageError, Corrupt, and Conflict where the store's log is not the beginning of the folder's.
    """
    mirrors = [Mirror(folder, checked_name(path.name.removesuffix(SUMS))) for path in sorted(folder.glob(f"*{SUMS}"))]
    if not mirrors:
        raise UsageError(
            f"{folder}: it holds no NAME{SUMS}, so no export has ended here. Name the folder of one, or run "
            "`tunegate export` again."
        )
    # Nothing is written before all is known to be right.
    for mirror in mirrors:
        mirror.open()
        _check(mirror)
        _check_continues(read_whole_log(store, mirror.name), read_whole_log(mirror, mirror.name), mirror)
    return [_import(store, mirror) for mirror in mirrors]


def _import(store: Store, mirror: Mirror) -> Moved:
    num_written = _put(store, mirror, PARTS)
    with held(store, mirror.name, *_named_anew(store, mirror)):
        wait_until_free(store, COLLECTION)
        # What was there already may have been taken before anything kept it.
        while num_missing := _put(store, mirror, PARTS):
            num_written += num_missing
            wait_until_free(store, COLLECTION)
        num_written += _put(store, mirror, NAMES)
    if mirror.list_keys(f"models/{mirror.name}/log/"):
        copy_head(store, mirror.name)
    return _moved(mirror, num_written)


def _put(store: Store, mirror: Mirror, kinds: Iterable[str]) -> int:
    """Write what is missing of these kinds, one kind after the other; give how many objects that were."""
    num_written = 0
    for kind in kinds:
        keys = _keys(mirror, kind)
        if kind == "blob":
            blobs = [Blob(digest=mirror.digests[key], size_bytes=mirror.path(key).stat().st_size) for key in keys]
            num_written += _move(blobs, "import", lambda blob: _upload(store, blob, mirror))
        else:
            num_written += sum(_create(store, key, kind, mirror) for key in keys)
    return num_written


def _named_anew(store: Store, mirror: Mirror) -> set[str]:
    """Digests of the versions and blobs that events and proposals name which the store does not have yet."""
    keys = [key for kind in NAMES for key in _keys(mirror, kind) if store.size(key) is None]
    named = {digest for key in keys for digest in re.findall(DIGEST, _read(mirror, key).decode(errors="replace"))}
    return named & {key.split("/")[3] for kind in ("blob", "manifest") for key in _keys(mirror, kind)}


def _keys(mirror: Mirror, kind: str) -> list[str]:
    return [key for key in sorted(mirror.digests) if kind_of(key, mirror.name) == kind]


def _move(blobs: list[Blob], what: str, move_blob: Callable[[Blob], bool]) -> int:
    """Move blobs side by side; give how many were not there yet."""
    with progress_bar(what, sum(blob.size_bytes for blob in blobs)) as moved:

        def move(blob: Blob) -> bool:
            is_written = move_blob(blob)
            moved(blob.size_bytes)
            return is_written

        return sum(map_in_threads(move, blobs))


def _fetch(store: Store, blob: Blob, mirror: Mirror) -> bool:
    """Bring a blob's bytes from the store itself, whatever this machine has of them."""
    path = mirror.path(blob_key(blob.digest))
    if path.is_file() and file_digest(path) == blob.digest:
        return False
    with replacing(path) as staging:
        store.download(blob_key(blob.digest), blob, staging)
    return True


def _upload(store: Store, blob: Blob, mirror: Mirror) -> bool:
    if store.holds(blob):
        return False
    store.upload(mirror.path(blob_key(blob.digest)), blob_key(blob.digest))
    return True


def _create(store: Store, key: str, kind: str, mirror: Mirror) -> bool:
    """Write an object unless it is there. Raises Conflict, Corrupt."""
    raw, there = _read(mirror, key), store.read(key)
    if there is None and store.create(key, raw):
        return True
    if there == raw:
        return False
    if kind == "event":
        raise Conflict(f"{key}: somebody promoted meanwhile. The import stopped before this event.")
    if kind == "manifest":
        raise Corrupt(f"{key}: other bytes than this version's are stored there.")
    logger.warning("%s: the store has another one, which stays.", key)
    return False


def _read(objects: Objects, key: str) -> bytes:
    raw = objects.read(key)
    if raw is None:
        raise StoreError(f"{key}: it was removed meanwhile. Run again.")
    return raw


def _files(mirror: Mirror, log: ModelLog) -> list[Blob]:
    """Every file of the versions that are there; those that aliases name must be. Raises StoreError."""
    versions = {*list_versions(mirror, mirror.name), *log.aliases.values()}
    manifests = [read_manifest(mirror, mirror.name, version) for version in sorted(versions)]
    return list({blob.digest: blob for manifest in manifests for blob in manifest.files.values()}.values())


def _verdicts(store: Store, mirror: Mirror, log: ModelLog) -> list[Blob]:
    """What the gates of the log's events and of proposals said, where it is still there."""
    cited = {event.gate_sha256 for event in log.events if event.gate_sha256}
    for key in _keys(mirror, "proposal"):
        # Searched and not parsed: a damaged proposal travels as it is.
        cited |= {digest.decode() for digest in GATE.findall(_read(mirror, key))}
    sizes = {digest: store.size(blob_key(digest)) for digest in sorted(cited)}
    for digest in (digest for digest, size in sizes.items() if size is None):
        logger.warning("%s: this verdict is not in the store; the export goes without.", blob_key(digest))
    return [Blob(digest=digest, size_bytes=size) for digest, size in sizes.items() if size is not None]


def _check(mirror: Mirror) -> None:
    """Read all of a folder, follow the log's chain, see that every version is whole. Raises Corrupt."""
    found = map_in_threads(mirror.digest, mirror.digests)
    wrong = [key for key, digest in zip(mirror.digests, found, strict=True) if mirror.digests[key] != digest]
    if not wrong:
        files = _files(mirror, read_whole_log(mirror, mirror.name))
        wrong = [blob_key(blob.digest) for blob in files if blob_key(blob.digest) not in mirror.digests]
    if wrong:
        raise Corrupt(
            f"{mirror.folder}: {len(wrong)} objects of {mirror.name} are missing, altered or damaged, such as "
            f"{', '.join(sorted(wrong)[:5])}. Nothing was imported; export the model again."
        )


def _check_continues(there: ModelLog, ours: ModelLog, mirror: Mirror) -> None:
    """See that the folder's log begins with the store's. Raises Conflict."""
    differing = [own.sequence for own, other in zip(ours.events, there.events, strict=False) if own != other]
    if differing:
        what = f"differs from the folder's from event {differing[0]} on"
    elif len(there.events) > len(ours.events):
        what = f"has {len(there.events)} events, the folder the first {len(ours.events)} of them"
    else:
        return
    raise Conflict(
        f"{mirror.name}: the store's log {what}. Nothing was imported: a log is only ever continued. Import into "
        "another bucket, or export again from the bucket that has the longer log."
    )


def _moved(mirror: Mirror, num_written: int) -> Moved:
    kinds = [kind_of(key, mirror.name) for key in mirror.digests]
    counts = {"num_events": kinds.count("event"), "num_versions": kinds.count("manifest")}
    return Moved(name=mirror.name, num_objects=len(kinds), num_written=num_written, **counts)
