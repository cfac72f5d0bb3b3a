"""A version as a folder on this machine, for services: whole or not there at all.

FOLDER is a symbolic link to .FOLDER-<version> beside it, replaced in one step when all files are there and checked.
Pulls into one FOLDER take turns by a lock on the file .FOLDER.lock, so that none removes or fills what another makes.
Beside the model's files lie manifest.json, bom.cdx.json, model.sig and README.md, the card of the last verdict that
promoted it; those of them that exist.
"""

import re
import shutil
from pathlib import Path

from schemas.errors import UsageError
from schemas.frozen import SHORT, canonical_json, short
from schemas.records.references import Blob
from schemas.records.versions import Manifest
from tasks.services.process.files import atomic_write, flock, replacing
from tasks.services.registry.documents import MANIFEST, read_card, read_signed
from tasks.services.registry.log import read_log
from tasks.services.registry.sbom import BILL
from tasks.services.registry.signatures import CARD, SIGNATURE
from tasks.services.registry.versions import stored_manifest
from tasks.services.storage.store import Store, file_digest, link_or_copy, map_in_threads


def pull_version(store: Store, name: str, version: str, folder: Path) -> int:
    """Make `folder` hold a version; give how many of its files had to be written. Raises UsageError, StoreError.

    Files that are there already with the right bytes are left; the version before this one stays beside it, older ones
    are removed. The same version again removes none.
    """
    _refuse_what_is_not_ours(folder)
    if not folder.parent.is_dir():
        raise UsageError(f"there is no folder {folder.parent}; make it first.")
    manifest = stored_manifest(store, name, version)
    documents = _documents(store, manifest)
    target = folder.with_name(f".{folder.name}-{short(version)}")
    with flock(folder.with_name(f".{folder.name}.lock")):
        num_written = _fill(store, manifest, documents, target)
        before = folder.parent / folder.readlink() if folder.is_symlink() else None
        if before != target:
            with replacing(folder, ".next") as link:
                link.symlink_to(target.name)
            _remove_all_but({target, before}, folder)
    return num_written


def _refuse_what_is_not_ours(folder: Path) -> None:
    """Replace no folder, and no link that was not made here. Raises UsageError."""
    target = str(folder.readlink()) if folder.is_symlink() else None
    is_ours = _made_here(folder).fullmatch(target) if target else not folder.exists()
    if not is_ours:
        what = f"a link to {target}" if target else "a folder of its own"
        raise UsageError(f"{folder} is {what}; name one that is not there yet, or that `pull` has made.")


def _fill(store: Store, manifest: Manifest, documents: dict[str, bytes], target: Path) -> int:
    """Put a version's files and what stands beside them into a folder; give how many files had to be written."""
    target.mkdir(exist_ok=True)
    written = map_in_threads(lambda item: _place(store, item[1], target / item[0]), manifest.files.items())
    for file in (MANIFEST, BILL, SIGNATURE, CARD):
        if file in documents:
            atomic_write(target / file, documents[file])
        else:
            (target / file).unlink(missing_ok=True)
    return sum(written)


def _remove_all_but(kept: set[Path | None], folder: Path) -> None:
    """Remove the versions that this link named once; what looks alike is another link's or the user's."""
    made_here = _made_here(folder)
    for old in folder.parent.iterdir():
        if made_here.fullmatch(old.name) and old not in kept and old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)


def _made_here(folder: Path) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(f'.{folder.name}-')}[0-9a-f]{{{SHORT}}}")


def _place(store: Store, blob: Blob, path: Path) -> bool:
    if path.exists() and file_digest(path) == blob.digest:
        return False
    kept = store.fetch(blob)
    # Bytes that a folder of the user's shares could be overwritten there, so a service gets its own.
    place = link_or_copy if kept.stat().st_nlink == 1 else shutil.copyfile
    with replacing(path) as staging:
        place(kept, staging)
    return True


def _documents(store: Store, manifest: Manifest) -> dict[str, bytes]:
    """What stands beside the files, by file name, checked as far as it can be. Raises Corrupt."""
    signed = read_signed(store, manifest)
    gate = read_log(store, manifest.model).judged(manifest.version)
    card = read_card(store, manifest.model, manifest.version, gate) if gate else None
    documents = {MANIFEST: canonical_json(manifest.model_dump(mode="json"))} | signed
    return documents | {CARD: card} if card else documents
