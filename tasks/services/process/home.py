"""The folder of all local state, TUNEGATE_HOME."""

import os

from schemas.errors import UsageError
from schemas.settings import Settings


def make_home(settings: Settings) -> None:
    """Make the folder of all local state, which must be one to write in. Raises UsageError."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"TUNEGATE_HOME: the folder {settings.home} cannot be made: {error.strerror}. Name one that can."
        ) from None
    if not os.access(settings.home, os.W_OK | os.X_OK):
        raise UsageError(f"TUNEGATE_HOME: nothing can be written into the folder {settings.home}. Name another.")
