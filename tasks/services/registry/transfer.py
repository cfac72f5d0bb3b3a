"""Export and import of a model, with its log, from one bucket to another through a folder.

Both directions verify every digest, every manifest and the chain of the log. After an interruption, run the same
command again: objects with the right bytes are not written twice.
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
from tasks.services.registry.bundle import DIGEST, NAMES, PARTS, SUMS, Bundle, kind_of
from tasks.services.registry.log import checked_name, copy_head, read_whole_log
from tasks.services.registry.pins import held
from tasks.services.registry.versions import GC_LEASE, list_versions, read_manifest, refuse_unknown_model
from tasks.services.storage.leases import wait_until_free
from tasks.services.storage.progress import progress_bar
from tasks.services.storage.store import Objects, Store, blob_key, file_digest, map_in_threads

GATE = re.compile(rb'"gate_sha256":"([0-9a-f]{64})"')
logger = logging.getLogger(__name__)


class Transfer(Frozen):
    """Counts of an exported or imported model; `num_written` of its objects were missing."""

    name: str
    num_events: int
    num_versions: int
    num_objects: int
    num_written: int

    def __str__(self) -> str:
        what = f"{self.num_events} events, {self.num_versions} versions"
        return f"{self.name}: {what}; {self.num_written} of {self.num_objects} objects were written."


def export_model(store: Store, name: str, folder: Path) -> Transfer:
    """Write a model's log, versions, pins, proposals and their blobs into a folder. Raises UsageError, StoreError."""
    bundle = Bundle(folder, checked_name(name))
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder.")
    refuse_unknown_model(store, name)
    # The log first: what its events name was complete before them.
    events = store.list_keys(f"models/{name}/log/")
    kinds = {key: kind_of(key, name) for key in store.list_keys(f"models/{name}/")}
    others = [key for key, kind in kinds.items() if kind not in (None, "event")]
    # The import writes a new copy of the log.
    unknown = [key for key, kind in kinds.items() if kind is None and key != f"models/{name}/head.json"]
    if unknown:
        logger.warning("%d objects are not part of a model and not exported, such as %s.", len(unknown), unknown[0])
    num_written = sum(bundle.add(key, _read(store, key)) for key in events + others)
    log = read_whole_log(bundle, name)
    blobs = [*_files(bundle, log), *_verdicts(store, bundle, log)]
    num_written += _transfer(blobs, "export", lambda blob: _fetch(store, blob, bundle))
    bundle.digests |= {blob_key(blob.digest): blob.digest for blob in blobs}
    bundle.close()
    return _summarize(bundle, num_written)


def import_models(store: Store, folder: Path) -> list[Transfer]:
    """Import every model of a folder, in an order in which readers always see complete versions.

    Raises UsageError, Corrupt, and Conflict where the store's log is not a prefix of the folder's.
    """
    bundles = [Bundle(folder, checked_name(path.name.removesuffix(SUMS))) for path in sorted(folder.glob(f"*{SUMS}"))]
    if not bundles:
        raise UsageError(
            f"{folder}: there is no NAME{SUMS}, so it holds no complete export. Name another folder, or run "
            "`tunegate export` again."
        )
    # Check all models before writing any.
    for bundle in bundles:
        bundle.open()
        _check(bundle)
        _check_continues(read_whole_log(store, bundle.name), read_whole_log(bundle, bundle.name), bundle)
    return [_import(store, bundle) for bundle in bundles]


def _import(store: Store, bundle: Bundle) -> Transfer:
    num_written = _put(store, bundle, PARTS)
    with held(store, bundle.name, *_named_anew(store, bundle)):
        wait_until_free(store, GC_LEASE)
        # Garbage collection may have deleted objects that were there before the hold.
        while num_missing := _put(store, bundle, PARTS):
            num_written += num_missing
            wait_until_free(store, GC_LEASE)
        num_written += _put(store, bundle, NAMES)
    if bundle.list_keys(f"models/{bundle.name}/log/"):
        copy_head(store, bundle.name)
    return _summarize(bundle, num_written)


def _put(store: Store, bundle: Bundle, kinds: Iterable[str]) -> int:
    """Write the missing objects of these kinds, in order; return their number."""
    num_written = 0
    for kind in kinds:
        keys = _keys(bundle, kind)
        if kind == "blob":
            blobs = [Blob(digest=bundle.digests[key], size_bytes=bundle.path(key).stat().st_size) for key in keys]
            num_written += _transfer(blobs, "import", lambda blob: _upload(store, blob, bundle))
        else:
            num_written += sum(_create(store, key, kind, bundle) for key in keys)
    return num_written


def _named_anew(store: Store, bundle: Bundle) -> set[str]:
    """Return the digests of versions and blobs named by events and proposals that the store lacks."""
    keys = [key for kind in NAMES for key in _keys(bundle, kind) if store.size(key) is None]
    named = {digest for key in keys for digest in re.findall(DIGEST, _read(bundle, key).decode(errors="replace"))}
    return named & {key.split("/")[3] for kind in ("blob", "manifest") for key in _keys(bundle, kind)}


def _keys(bundle: Bundle, kind: str) -> list[str]:
    return [key for key in sorted(bundle.digests) if kind_of(key, bundle.name) == kind]


def _transfer(blobs: list[Blob], what: str, transfer_one: Callable[[Blob], bool]) -> int:
    """Transfer blobs concurrently; return the number written."""
    with progress_bar(what, sum(blob.size_bytes for blob in blobs)) as advance:

        def transfer(blob: Blob) -> bool:
            is_written = transfer_one(blob)
            advance(blob.size_bytes)
            return is_written

        return sum(map_in_threads(transfer, blobs))


def _fetch(store: Store, blob: Blob, bundle: Bundle) -> bool:
    """Download a blob from the store, bypassing the local cache."""
    path = bundle.path(blob_key(blob.digest))
    if path.is_file() and file_digest(path) == blob.digest:
        return False
    with replacing(path) as staging:
        store.download(blob_key(blob.digest), blob, staging)
    return True


def _upload(store: Store, blob: Blob, bundle: Bundle) -> bool:
    if store.holds(blob):
        return False
    store.upload(bundle.path(blob_key(blob.digest)), blob_key(blob.digest))
    return True


def _create(store: Store, key: str, kind: str, bundle: Bundle) -> bool:
    """Write an object unless it exists. Raises Conflict, Corrupt."""
    raw, stored = _read(bundle, key), store.read(key)
    if stored is None and store.create(key, raw):
        return True
    if stored == raw:
        return False
    if kind == "event":
        raise Conflict(f"{key}: another event was appended meanwhile. The import stopped before this one.")
    if kind == "manifest":
        raise Corrupt(f"{key}: other bytes than this version's are stored there.")
    logger.warning("%s: the store has a different one, which is kept.", key)
    return False


def _read(objects: Objects, key: str) -> bytes:
    raw = objects.read(key)
    if raw is None:
        raise StoreError(f"{key}: it was removed meanwhile. Run again.")
    return raw


def _files(bundle: Bundle, log: ModelLog) -> list[Blob]:
    """Return the files of all versions; raise StoreError where one named by an alias is missing."""
    versions = {*list_versions(bundle, bundle.name), *log.aliases.values()}
    manifests = [read_manifest(bundle, bundle.name, version) for version in sorted(versions)]
    return list({blob.digest: blob for manifest in manifests for blob in manifest.files.values()}.values())


def _verdicts(store: Store, bundle: Bundle, log: ModelLog) -> list[Blob]:
    """Return the verdicts cited by events and proposals that are still stored."""
    cited = {event.gate_sha256 for event in log.events if event.gate_sha256}
    for key in _keys(bundle, "proposal"):
        # Searched, not parsed: a damaged proposal is exported unchanged.
        cited |= {digest.decode() for digest in GATE.findall(_read(bundle, key))}
    sizes = {digest: store.size(blob_key(digest)) for digest in sorted(cited)}
    for digest in (digest for digest, size in sizes.items() if size is None):
        logger.warning("%s: this verdict is not in the store; it is not exported.", blob_key(digest))
    return [Blob(digest=digest, size_bytes=size) for digest, size in sizes.items() if size is not None]


def _check(bundle: Bundle) -> None:
    """Verify all bytes of a folder, the log's chain, and that every version is complete. Raises Corrupt."""
    found = map_in_threads(bundle.digest, bundle.digests)
    wrong = [key for key, digest in zip(bundle.digests, found, strict=True) if bundle.digests[key] != digest]
    if not wrong:
        files = _files(bundle, read_whole_log(bundle, bundle.name))
        wrong = [blob_key(blob.digest) for blob in files if blob_key(blob.digest) not in bundle.digests]
    if wrong:
        raise Corrupt(
            f"{bundle.folder}: {len(wrong)} objects of {bundle.name} are missing, altered or damaged, such as "
            f"{', '.join(sorted(wrong)[:5])}. Nothing was imported; export the model again."
        )


def _check_continues(stored: ModelLog, exported: ModelLog, bundle: Bundle) -> None:
    """Raise Conflict unless the store's log is a prefix of the folder's."""
    pairs = zip(exported.events, stored.events, strict=False)
    differing = [event.sequence for event, other in pairs if event != other]
    if differing:
        what = f"differs from the folder's from event {differing[0]} on"
    elif len(stored.events) > len(exported.events):
        what = f"has {len(stored.events)} events, the folder the first {len(exported.events)} of them"
    else:
        return
    raise Conflict(
        f"{bundle.name}: the store's log {what}. Nothing was imported: an import only appends to a log. Import into "
        "another bucket, or export again from the bucket that has the longer log."
    )


def _summarize(bundle: Bundle, num_written: int) -> Transfer:
    kinds = [kind_of(key, bundle.name) for key in bundle.digests]
    counts = {"num_events": kinds.count("event"), "num_versions": kinds.count("manifest")}
    return Transfer(name=bundle.name, num_objects=len(kinds), num_written=num_written, **counts)
