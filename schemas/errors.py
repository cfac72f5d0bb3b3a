"""What can go wrong, as few classes as callers act on.

    TunegateError
      UsageError         2  a command line or a name that cannot be meant
        RecipeError      2  a recipe that says something impossible; nothing ran
      DataError          4  rows that cannot be read
      StoreError         5  the object store failed, or holds what it should not
        Unavailable      5  it may work in a moment
        Corrupt          5  bytes are not what their digest says
        Conflict         5  somebody else wrote first, again and again
      TimeLimit          5  a step did not end in its time, again and again
      MemoryLimit        5  a step needed more memory than it may have
      TrainingError      6  training failed for good
        Diverged         6  the loss left the finite or reasonable range

    KeyboardInterrupt  130
      Preempted        130  the process was told to end; what it had finished is kept

The number is the exit code of the command. A refusal by the contract or the gate is not
here: it is a result with reasons (`schemas.records.outcome`).
"""

from typing import Any


class TunegateError(Exception):
    """Anything a user can cause or mend; shown as one message, without a traceback."""

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
    """As Ctrl-C, it is no Exception: libraries that go on after any of those would go on after it."""

    exit_code = 130
    steps: tuple[Any, ...] = ()
