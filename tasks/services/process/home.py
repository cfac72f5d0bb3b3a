"""TUNEGATE_HOME, the folder of all local state, and other folders that are closed to other users."""

import os
import stat
from pathlib import Path

from schemas.errors import UsageError
from schemas.settings import Settings

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_home(settings: Settings) -> None:
    """Create the home folder, closed to other users. Raises UsageError where it cannot be, or is not writable."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(
            f"TUNEGATE_HOME: the folder {settings.home} cannot be created: {error.strerror}. Choose another."
        ) from None
    close_folder(settings.home, "TUNEGATE_HOME")
    if not os.access(settings.home, os.W_OK | os.X_OK):
        raise UsageError(f"TUNEGATE_HOME: the folder {settings.home} is not writable. Choose another.")


def close_folder(folder: Path, what: str) -> None:
    """Take all rights on an own folder from other users; they could read its secrets and replace its files.

    Raises UsageError, which begins with `what`, for another user's folder, a link, or a file system without modes.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{what}: {folder} is not a folder. Move it away, or choose another.")
    if found.st_uid != os.geteuid():
        raise UsageError(
            f"{what}: the folder {folder} belongs to the user {found.st_uid}, who can replace what is in it, and this "
            f"process is the user {os.geteuid()}. Choose another, or change its owner."
        )
    if found.st_mode & OTHERS:
        try:
            folder.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
        except OSError as error:
            raise UsageError(f"{what}: {folder} cannot be closed to other users: {error.strerror}.") from None
        if folder.stat().st_mode & OTHERS:
            raise UsageError(
                f"{what}: {folder} stays open to other users after chmod 0700. Choose another file system."
            )
