"""Verification of stored versions, their documents, logs and cited verdicts, down to the last byte.

A store that does not answer is not damage: Unavailable passes through.
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
def _collected(faults: list[str]) -> Iterator[None]:
    """Collect a StoreError of the body as a fault; Unavailable passes through."""
    try:
        yield
    except Unavailable:
        raise
    except StoreError as error:
        faults.append(str(error))


def find_faults(store: Objects, name: str, version: str) -> list[str]:
    """Verify a version and its documents; return a sentence for each wrong object."""
    faults: list[str] = []
    with _collected(faults):
        manifest = stored_manifest(store, name, version)
        faults += find_damage(store, manifest)
        with _collected(faults):
            check_signature(store, manifest)
        faults += find_document_faults(store, manifest)
    return faults


def find_damage(store: Objects, manifest: Manifest) -> list[str]:
    """Verify every byte of a version's files; return a sentence for each wrong file."""
    return _find_wrong(store, [(blob.digest, file) for file, blob in sorted(manifest.files.items())])


def find_faults_of_model(store: Objects, name: str) -> Iterator[tuple[str, list[str]]]:
    """Verify the log with its chain and verdicts, then each version; yield each with its faults."""
    faults: list[str] = []
    named: set[str] = set()
    with _collected(faults):
        log = read_whole_log(store, name)
        named = set(log.aliases.values())
        # Garbage collection keeps the verdicts that the log cites.
        cited = sorted({event.gate_sha256 for event in log.events if event.gate_sha256})
        faults += _find_wrong(store, [(digest, "a verdict of the log") for digest in cited])
    yield "log", faults
    for version in sorted({*list_versions(store, name), *named}):
        faults = find_faults(store, name, version)
        # Garbage collection may have deleted an unnamed version meanwhile.
        if not faults or version in named or version in list_versions(store, name):
            yield version, faults


def list_retired(store: Objects, name: str) -> list[str]:
    """Return the deleted versions that an alias once named; none where the log cannot be read."""
    with _collected([]):
        log = read_whole_log(store, name)
        present = {*list_versions(store, name), *log.aliases.values()}
        return sorted({event.to_version for event in log.events} - present)
    return []


def check_version(store: Store, name: str, version: str) -> None:
    """Verify every byte of a version. Raises Corrupt naming every wrong object."""
    faults: list[str] = []
    with _collected(faults):
        faults += find_damage(store, read_manifest(store, name, version))
    if faults:
        raise Corrupt(f"{name}@{short(version)} cannot be used: {' '.join(faults)}")


def sign_version(store: Store, name: str, version: str) -> None:
    """Verify every byte of a version, then sign it with the configured private key. Raises Corrupt."""
    manifest = stored_manifest(store, name, version)
    faults = find_damage(store, manifest) + find_document_faults(store, manifest)
    if faults:
        raise Corrupt(f"{name}@{short(version)} is not signed: {' '.join(faults)}")
    sign_as_stored(store, manifest)


def _find_wrong(store: Objects, blobs: list[tuple[str, str]]) -> list[str]:
    """Describe the wrong ones among blobs, given by digest and description."""
    return [fault for fault in map_in_threads(lambda blob: _fault(store, *blob), blobs) if fault]


def _fault(store: Objects, digest: str, what: str) -> str | None:
    key = blob_key(digest)
    found = store.digest(key)
    if found == digest:
        return None
    wrong = "it is not in the store" if found is None else f"the stored bytes hash to {found}"
    return f"{key} ({what}): {wrong}."
