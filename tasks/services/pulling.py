"""A version as a folder on this machine, for services: whole or not there at all.

FOLDER is a symbolic link to .FOLDER-<version> beside it, replaced in one step when all files are there and checked.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from schemas.errors import UsageError
from schemas.frozen import canonical_json
from schemas.references import Blob
from tasks.services.registry import read_manifest
from tasks.services.store import Store, file_digest, link_or_copy

SHORT = 12
FETCHERS = 4


def pull_version(store: Store, name: str, version: str, folder: Path) -> int:
    """Make `folder` hold a version; give how many of its files had to be written. Raises UsageError, StoreError.

    Files that are there already with the right bytes are left; the version before this one stays beside it, older ones
    are removed.
    """
    if folder.exists() and not folder.is_symlink():
        raise UsageError(f"{folder} is a folder of its own; name one that is not there yet, or that `pull` has made.")
    if not folder.parent.is_dir():
        raise UsageError(f"there is no folder {folder.parent}; make it first.")
    manifest = read_manifest(store, name, version)
    target = folder.with_name(f".{folder.name}-{version[:SHORT]}")
    target.mkdir(exist_ok=True)
    with ThreadPoolExecutor(FETCHERS) as fetchers:
        written = list(fetchers.map(lambda item: _place(store, item[1], target / item[0]), manifest.files.items()))
    (target / "manifest.json").write_bytes(canonical_json(manifest.model_dump(mode="json")))
    before = folder.resolve() if folder.is_symlink() else None
    _point(folder, target)
    for old in folder.parent.glob(f".{folder.name}-*"):
        if old not in (target, before) and old.is_dir():
            shutil.rmtree(old)
    return sum(written)


def _place(store: Store, blob: Blob, path: Path) -> bool:
    if path.exists() and file_digest(path) == blob.digest:
        return False
    staging = path.with_name(f"{path.name}.partial")
    staging.unlink(missing_ok=True)
    kept = store.fetch(blob)
    # Bytes that a folder of the user's shares could be overwritten there, so a service gets its own.
    place = link_or_copy if kept.stat().st_nlink == 1 else shutil.copyfile
    place(kept, staging)
    staging.replace(path)
    return True


def _point(link: Path, target: Path) -> None:
    staging = link.with_name(f".{link.name}.next")
    staging.unlink(missing_ok=True)
    staging.symlink_to(target.name)
    staging.replace(link)
