"""Download of a version into a local folder, atomically, for services; and such a folder, read again.

FOLDER is a symbolic link to .FOLDER-<version> beside it, replaced atomically once all files are verified.
Concurrent pulls into one FOLDER are serialized by a lock on .FOLDER.lock.
Beside the model's files lie, where they exist, manifest.json, bom.cdx.json, model.sig and README.md, the model card of
the last verdict that promoted the version.
"""

import re
import shutil
from pathlib import Path

from pydantic import ValidationError

from schemas.errors import Corrupt, UsageError
from schemas.frozen import SHORT, canonical_json, short
from schemas.records.references import Blob
from schemas.records.versions import Manifest
from tasks.services.process.files import atomic_write, flock, replacing
from tasks.services.registry.documents import MANIFEST, check_pulled_signature, read_card, read_signed
from tasks.services.registry.log import read_log
from tasks.services.registry.sbom import SBOM
from tasks.services.registry.signatures import CARD, SIGNATURE
from tasks.services.registry.versions import stored_manifest
from tasks.services.storage.store import Store, file_digest, link_or_copy, map_in_threads


def pull_version(store: Store, name: str, version: str, folder: Path) -> int:
    """Download a version into `folder`; return the number of files written. Raises UsageError, StoreError.

    Files with the right bytes are not written again. The previous version stays beside this one, older ones are
    removed.
    """
    _refuse_foreign(folder)
    if not folder.parent.is_dir():
        raise UsageError(f"there is no folder {folder.parent}; create it first.")
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


def read_pulled(folder: Path) -> tuple[Manifest, dict[str, Path]] | None:
    """Return the manifest of a pulled folder, and the version's files by name; None for a folder without a manifest.

    Each file is verified against its digest, the signature if a public key is configured; other files of the folder are
    left out. Raises Corrupt.
    """
    # A pull may replace the link meanwhile.
    real = folder.resolve()
    if not (real / MANIFEST).exists():
        return None
    try:
        manifest = Manifest.model_validate_json((real / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        raise Corrupt(
            f"{folder / MANIFEST}: it is not a manifest that this version of tunegate can read. Pull the model again; "
            "if the folder was not pulled, remove this file from it."
        ) from None
    files = {file: real / file for file in manifest.files}
    wrong = [file for file, blob in manifest.files.items() if _digest_of(files[file]) != blob.digest]
    if wrong:
        raise Corrupt(
            f"{folder}: {', '.join(sorted(wrong)[:5])} of {manifest.model}@{short(manifest.version)} is missing or was "
            "altered. Pull the model again."
        )
    try:
        check_pulled_signature(real, manifest)
    except Corrupt as error:
        raise Corrupt(f"{folder}: {error}") from None
    return manifest, files


def _digest_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, None for one that cannot be read."""
    try:
        return file_digest(path)
    except OSError:
        return None


def _refuse_foreign(folder: Path) -> None:
    """Raise UsageError for a path that is neither free nor a link made by `pull`."""
    target = str(folder.readlink()) if folder.is_symlink() else None
    is_ours = _made_here(folder).fullmatch(target) if target else not folder.exists()
    if not is_ours:
        what = f"a link to {target}" if target else "an existing folder or file"
        raise UsageError(f"{folder} is {what}; name one that does not exist or that `pull` has created.")


def _fill(store: Store, manifest: Manifest, documents: dict[str, bytes], target: Path) -> int:
    """Write a version's files and documents into a folder; return the number of files written."""
    target.mkdir(exist_ok=True)
    written = map_in_threads(lambda item: _place(store, item[1], target / item[0]), manifest.files.items())
    for file in (MANIFEST, SBOM, SIGNATURE, CARD):
        if file in documents:
            atomic_write(target / file, documents[file])
        else:
            (target / file).unlink(missing_ok=True)
    return sum(written)


def _remove_all_but(kept: set[Path | None], folder: Path) -> None:
    """Remove the older versions of this link, and nothing of other links or the user."""
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
    # A cached file that is linked elsewhere could be overwritten there, so it is copied.
    place = link_or_copy if kept.stat().st_nlink == 1 else shutil.copyfile
    with replacing(path) as staging:
        place(kept, staging)
    return True


def _documents(store: Store, manifest: Manifest) -> dict[str, bytes]:
    """Return a version's documents by file name, verified where possible. Raises Corrupt."""
    signed = read_signed(store, manifest)
    gate = read_log(store, manifest.model).last_verdict(manifest.version)
    card = read_card(store, manifest.model, manifest.version, gate) if gate else None
    documents = {MANIFEST: canonical_json(manifest.model_dump(mode="json"))} | signed
    return documents | {CARD: card} if card else documents
