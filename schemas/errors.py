"""The error hierarchy, with one class for each reaction of callers.

`exit_code` is that of the command. A refusal by the contract or the gate is not here: it is a result with reasons
(`schemas.records.outcome`).
"""

from typing import Any


class TunegateError(Exception):
    """An error that a user can cause or fix; shown as one message, without a traceback."""

    exit_code = 5
    steps: tuple[Any, ...] = ()
    """The records of the steps up to this error, where a chain was running."""


class UsageError(TunegateError):
    """An invalid command line or name."""

    exit_code = 2


class RecipeError(UsageError):
    """An invalid recipe, or an input that it names; nothing ran."""


class DataError(TunegateError):
    """Rows that cannot be read."""

    exit_code = 4


class StoreError(TunegateError):
    """The object store failed, or holds what it should not."""


class Unavailable(StoreError):
    """A retry may succeed."""


class Corrupt(StoreError):
    """Bytes do not match their digest."""


class Conflict(StoreError):
    """Another process wrote first, repeatedly."""


class TimeLimit(TunegateError):
    """A step exceeded its time limit, repeatedly."""


class MemoryLimit(TunegateError):
    """A step exceeded the memory limit."""


class TrainingError(TunegateError):
    """Training failed for good."""

    exit_code = 6


class Diverged(TrainingError):
    """The loss left the finite or reasonable range."""


class Preempted(KeyboardInterrupt):
    """The process was interrupted by a signal; finished work is kept.

    Derived from KeyboardInterrupt, so that libraries that suppress Exception do not suppress it.
    """

    exit_code = 130
    steps: tuple[Any, ...] = ()
