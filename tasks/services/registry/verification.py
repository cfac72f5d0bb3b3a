"""Whether what is stored is what was promoted: every byte of a version and beside it, every event of a log
and the verdicts that they cite. A store that does not answer is no damage: Unavailable passes through.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import Corrupt, StoreError, Unavailable
from schemas.frozen import short
from schemas.records.versions import Manifest
from tasks.services.registry.documents import check_signature, find_document_faults, sign_as_stored
from tasks.services.registry.log import read_whole_log
from tasks.services.registry.versions import list_versions, read_manifest, stored_manifest
from tasks.services.storage.store import Objects, Store, blob_key, map_in_threads


@contextmanager
def _told(faults: list[str]) -> Iterator[None]:
    """Add what is wrong to the faults, and go on after the body; Unavailable passes through."""
    try:
        yield
    except Unavailable:
        raise
    except StoreError as error:
        faults.append(str(error))


def find_faults(store: Objects, name: str, version: str) -> list[str]:
    """Read a version and what stands beside it to the last byte; give a sentence for each object that is wrong."""
    faults: list[str] = []
    with _told(faults):
        manifest = stored_manifest(store, name, version)
        faults += find_damage(store, manifest)
        with _told(faults):
            check_signature(store, manifest)
        faults += find_document_faults(store, manifest)
    return faults


def find_damage(store: Objects, manifest: Manifest) -> list[str]:
    """Read every byte of a version's files; give a sentence for each that is wrong."""
    return _find_wrong(store, [(blob.digest, file) for file, blob in sorted(manifest.files.items())])


def find_faults_of_model(store: Objects, name: str) -> Iterator[tuple[str, list[str]]]:
    """Check the log with its chain and its verdicts, then each version; give each with its faults."""
    faults: list[str] = []
    named: set[str] = set()
    with _told(faults):
        log = read_whole_log(store, name)
        named = set(log.aliases.values())
        # No collection takes the verdicts that the log cites.
        cited = sorted({event.gate_sha256 for event in log.events if event.gate_sha256})
        faults += _find_wrong(store, [(digest, "a verdict of the log") for digest in cited])
    yield "log", faults
    for version in sorted({*list_versions(store, name), *named}):
        faults = find_faults(store, name, version)
        # What no alias names a collection may take meanwhile.
        if not faults or version in named or version in list_versions(store, name):
            yield version, faults


def list_retired(store: Objects, name: str) -> list[str]:
    """Give the versions that an alias once named and that are no longer there; none where the log cannot be read."""
    with _told([]):
        log = read_whole_log(store, name)
        there = {*list_versions(store, name), *log.aliases.values()}
        return sorted({event.to_version for event in log.events} - there)
    return []


def check_version(store: Store, name: str, version: str) -> None:
    """Read a version to its last byte. Raises Corrupt naming every object that keeps it from being used."""
    faults: list[str] = []
    with _told(faults):
        faults += find_damage(store, read_manifest(store, name, version))
    if faults:
        raise Corrupt(f"{name}@{short(version)} cannot be used: {' '.join(faults)}")


def sign_version(store: Store, name: str, version: str) -> None:
    """Sign a version by the configured private key, once it was read to its last byte. Raises Corrupt."""
    manifest = stored_manifest(store, name, version)
    faults = find_damage(store, manifest) + find_document_faults(store, manifest)
    if faults:
        raise Corrupt(f"{name}@{short(version)} is not signed: {' '.join(faults)}")
    sign_as_stored(store, manifest)


def _find_wrong(store: Objects, blobs: list[tuple[str, str]]) -> list[str]:
    """Read blobs, each given by its digest and what it is."""
    return [fault for fault in map_in_threads(lambda blob: _fault(store, *blob), blobs) if fault]


def _fault(store: Objects, digest: str, what: str) -> str | None:
    key = blob_key(digest)
    found = store.digest(key)
    if found == digest:
        return None
    wrong = "it is not in the store" if found is None else f"the stored bytes hash to {found}"
    return f"{key} ({what}): {wrong}."
