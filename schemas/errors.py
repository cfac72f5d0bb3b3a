"""The error hierarchy, with one class for each reaction of callers.

    TunegateError
      UsageError         2  an invalid command line or name
        RecipeError      2  an invalid recipe; nothing ran
      DataError          4  rows that cannot be read
      StoreError         5  the object store failed, or holds what it should not
        Unavailable      5  a retry may succeed
        Corrupt          5  bytes do not match their digest
        Conflict         5  another process wrote first, repeatedly
      TimeLimit          5  a step exceeded its time limit, repeatedly
      MemoryLimit        5  a step exceeded the memory limit
      TrainingError      6  training failed for good
        Diverged         6  the loss left the finite or reasonable range

    KeyboardInterrupt  130
      Preempted        130  the process was interrupted by a signal; finished work is kept

The number is the exit code of the command. A refusal by the contract or the gate is not
here: it is a result with reasons (`schemas.records.outcome`).
"""

from typing import Any


class TunegateError(Exception):
    """An error that a user can cause or fix; shown as one message, without a traceback."""

    exit_code = 5
    steps: tuple[Any, ...] = ()
    """The records of the steps up to this error, where a chain was running."""


class UsageError(TunegateError):
    exit_code = 2


class RecipeError(UsageError):
    pass


class DataError(TunegateError):
    exit_code = 4


class StoreError(TunegateError):
    exit_code = 5


class Unavailable(StoreError):
    pass


class Corrupt(StoreError):
    pass


class Conflict(StoreError):
    pass


class TimeLimit(TunegateError):
    exit_code = 5


class MemoryLimit(TunegateError):
    exit_code = 5


class TrainingError(TunegateError):
    exit_code = 6


class Diverged(TrainingError):
    pass


class Preempted(KeyboardInterrupt):
    """Derived from KeyboardInterrupt, so that libraries that suppress Exception do not suppress it."""

    exit_code = 130
    steps: tuple[Any, ...] = ()
