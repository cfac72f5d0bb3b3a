"""TUNEGATE_HOME, the folder of all local state."""

import os

from schemas.errors import UsageError
from schemas.settings import Settings


def make_home(settings: Settings) -> None:
    """Create the home folder. Raises UsageError where it cannot be created or written to."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"TUNEGATE_HOME: the folder {settings.home} cannot be created: {error.strerror}. Choose another."
        ) from None
    if not os.access(settings.home, os.W_OK | os.X_OK):
        raise UsageError(f"TUNEGATE_HOME: the folder {settings.home} is not writable. Choose another.")
