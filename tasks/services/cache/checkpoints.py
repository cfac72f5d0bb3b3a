"""Checkpoints of unfinished training in the store, under the step's key, so that any machine can resume.

    checkpoints/<step>/<key>/files/<digest>           weights, optimizer, schedule, random states
    checkpoints/<step>/<key>/<step, 10 digits>-<nonce>.json   the manifest; written last

A checkpoint is complete once its manifest and all of its files are there; the newest complete one is resumed.
Older ones are deleted when a newer one is written, all of them when the step's record is.
"""

import logging
import secrets
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from schemas.errors import Corrupt, StoreError, Unavailable
from schemas.frozen import Digest, Frozen, canonical_json
from schemas.records.references import Blob
from tasks.services.storage.store import Store, describe_file
from tasks.services.storage.translation import Absent

log = logging.getLogger(__name__)

CheckpointFile = Annotated[str, Field(pattern=r"^checkpoint-[0-9]+/[A-Za-z0-9_][A-Za-z0-9._-]*\.(json|safetensors)$")]


class Checkpoint(Frozen):
    """Files of a training after `step` optimizer steps, by path within its folder."""

    step: int = Field(ge=0)
    files: dict[CheckpointFile, Blob]


def save_checkpoint(store: Store, key: str, step: int, folder: Path, files: list[Path]) -> None:
    """Store `files` of `folder` as the checkpoint after `step` optimizer steps, then delete older ones."""
    blobs = {str(path.relative_to(folder)): describe_file(path) for path in files}
    for name, blob in blobs.items():
        if not _is_whole(store, key, blob):
            store.upload(folder / name, _file_key(key, blob.digest))
    checkpoint = Checkpoint(step=step, files=blobs)
    content = canonical_json(checkpoint.model_dump(mode="json"))
    store.create(f"{_prefix(key)}{step:010d}-{secrets.token_hex(4)}.json", content)
    if all(_is_whole(store, key, blob) for blob in blobs.values()):
        # Otherwise another worker deleted our files as leftovers, and its own checkpoint must stay.
        _delete_older(store, key, step)


def newest_checkpoint(store: Store, key: str) -> Checkpoint | None:
    """Return the newest complete checkpoint, None without one."""
    for address in reversed(_manifests(store, key)):
        checkpoint = _read(store, address)
        if checkpoint and all(_is_whole(store, key, blob) for blob in checkpoint.files.values()):
            return checkpoint
    return None


def fetch_checkpoint(store: Store, key: str, checkpoint: Checkpoint, folder: Path) -> None:
    """Download a checkpoint's files into `folder`, verified against their digests. Raises Corrupt, Unavailable."""
    for name, blob in checkpoint.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            store.download(_file_key(key, blob.digest), blob, path)
        except Absent as error:
            raise Unavailable(f"{error} Another worker has replaced this checkpoint meanwhile.") from None


def clear_checkpoints(store: Store, key: str) -> None:
    addresses = store.list_keys(_prefix(key))
    _remove(store, sorted(addresses, key=lambda address: "/files/" in address))


def _delete_older(store: Store, key: str, step: int) -> None:
    manifests = _manifests(store, key)
    older = [address for address in manifests if int(address.rpartition("/")[2].partition("-")[0]) < step]
    _remove(store, older)
    kept: set[str] = set()
    for address in set(manifests) - set(older):
        checkpoint = _read(store, address)
        kept |= {blob.digest for blob in checkpoint.files.values()} if checkpoint else set()
    files = store.list_keys(f"{_prefix(key)}files/")
    _remove(store, [address for address in files if address.rpartition("/")[2] not in kept])


def _remove(store: Store, addresses: list[str]) -> None:
    try:
        store.delete(addresses)
    except StoreError as error:
        # Leftovers cost only space, so the run continues.
        log.warning("Old checkpoints were not deleted: %s", error)


def _manifests(store: Store, key: str) -> list[str]:
    return [address for address in store.list_keys(_prefix(key)) if address.endswith(".json")]


def _read(store: Store, address: str) -> Checkpoint | None:
    """Read a manifest; None when another worker has deleted it meanwhile."""
    content = store.read(address)
    try:
        return Checkpoint.model_validate_json(content) if content is not None else None
    except ValidationError as error:
        raise Corrupt(f"{address}: it is no checkpoint's manifest ({error.error_count()} faults). Delete it.") from None


def _is_whole(store: Store, key: str, blob: Blob) -> bool:
    return store.size(_file_key(key, blob.digest)) == blob.size_bytes


def _prefix(key: str) -> str:
    return f"checkpoints/{key}/"


def _file_key(key: str, digest: Digest) -> str:
    return f"{_prefix(key)}files/{digest}"
