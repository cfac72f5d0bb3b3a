"""Folders of the home, tried before hours of work end in one that cannot be written."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import UsageError

KEPT = ("blobs", "capabilities", "incoming", "pretrained", "reports", "training", "tried", "wandb")
PROBE = bytes(4096)


def check_folders(home: Path) -> None:
    """Raise UsageError naming a folder of the home that cannot be written, or a file in a folder's place."""
    for folder in filter(os.path.lexists, _folders(home)):
        if not folder.is_dir():
            raise UsageError(f"TUNEGATE_HOME: {folder} is not a folder. Move it away, or choose another home.")
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise UsageError(
                f"TUNEGATE_HOME: the folder {folder} is not writable for this user: a run as another user may have "
                "made it. Change its owner, or choose another home."
            )
    try:
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(PROBE)
    except OSError as error:
        raise UsageError(
            f"TUNEGATE_HOME: nothing can be written to {home}: {error.strerror}. Free space, or choose another home."
        ) from None


def _folders(home: Path) -> Iterator[Path]:
    yield from (home / name for name in KEPT)
    # The only ones that later runs write into again.
    yield home / "blobs" / "sha256"
    yield from (home / "blobs" / "sha256").glob("*")
