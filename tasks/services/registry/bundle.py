"""A model in a folder that mirrors its keys, with a list of digests that makes the folder whole.

FOLDER/<name>.sha256                     a digest and a key a line, as `sha256sum --check` reads it; written last
FOLDER/models/<name>/log/<number>.json   versions/, pins/ and proposals/ beside it
FOLDER/blobs/sha256/aa/<digest>          files of its versions, verdicts of its events and proposals
"""

import hashlib
import re
from pathlib import Path

from schemas.errors import Corrupt, UsageError
from tasks.services.process.files import atomic_write
from tasks.services.storage.store import blob_key, file_digest

SUMS = ".sha256"
DIGEST = "[0-9a-f]{64}"
FILE = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
# What makes a version whole comes after its parts, and what names a version after that.
KINDS = {
    "blob": rf"blobs/sha256/[0-9a-f]{{2}}/{DIGEST}",
    "companion": rf"models/[^/]+/versions/{DIGEST}/(?!manifest\.json$){FILE}",
    "manifest": rf"models/[^/]+/versions/{DIGEST}/manifest\.json",
    # Not what a promoter holds for as long as it writes (`pins.held`).
    "pin": rf"models/[^/]+/pins/(?!{DIGEST}-)({FILE}/){{0,3}}{FILE}",
    "event": r"models/[^/]+/log/[0-9]{16}\.json",
    "proposal": rf"models/[^/]+/proposals/({FILE}/){{0,3}}{FILE}",
}
PARTS = ("blob", "companion", "manifest", "pin")
NAMES = ("event", "proposal")


def kind_of(key: str, name: str) -> str | None:
    """Which of KINDS a key of the model is; None for any other, which is neither written nor read."""
    kind = next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, key)), None)
    if kind == "blob":
        return kind if key == blob_key(key.rpartition("/")[2]) else None
    return kind if key.startswith(f"models/{name}/") else None


class Mirror:
    """A model's part of a folder, read as a bucket is (`store.Objects`); only what the list names is ever read."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.digests: dict[str, str] = {}

    @property
    def sums(self) -> Path:
        return self.folder / f"{self.name}{SUMS}"

    def open(self) -> None:
        """Read the list of digests. Raises Corrupt."""
        for number, line in enumerate(self.sums.read_bytes().decode(errors="replace").splitlines(), 1):
            digest, _, key = line.partition("  ")
            kind = kind_of(key, self.name)
            if not re.fullmatch(DIGEST, digest) or kind is None or (kind == "blob" and key != blob_key(digest)):
                raise Corrupt(
                    f"{self.sums}, line {number}: expected the digest of an object of {self.name!r}, two blanks and "
                    "its key. Export the model again."
                )
            self.digests[key] = digest

    def close(self) -> None:
        lines = [f"{digest}  {key}\n" for key, digest in sorted(self.digests.items())]
        atomic_write(self.sums, "".join(lines).encode())

    def path(self, key: str) -> Path:
        return self.folder / key

    def add(self, key: str, raw: bytes) -> bool:
        """Keep an object's bytes; False where they were there. Raises UsageError where another event is."""
        path = self.path(key)
        self.digests[key] = hashlib.sha256(raw).hexdigest()
        there = path.read_bytes() if path.is_file() else None
        if there not in (None, raw) and kind_of(key, self.name) == "event":
            raise UsageError(f"{path}: this is another event than the store's. Name another folder; nothing was lost.")
        if there != raw:
            atomic_write(path, raw)
        return there != raw

    def read(self, key: str) -> bytes | None:
        """Give an object's bytes, None where the list does not name it. Raises Corrupt."""
        if key not in self.digests:
            return None
        path = self.path(key)
        raw = path.read_bytes() if path.is_file() else None
        if raw is None or hashlib.sha256(raw).hexdigest() != self.digests[key]:
            raise Corrupt(f"{path}: it is missing, altered or damaged. Export the model again.")
        return raw

    def digest(self, key: str) -> str | None:
        path = self.path(key)
        return file_digest(path) if key in self.digests and path.is_file() else None

    def list_keys(self, prefix: str, after: str = "") -> list[str]:
        return sorted(key for key in self.digests if key.startswith(prefix) and key > after)
