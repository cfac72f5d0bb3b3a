"""Classification of failures; only transient ones are retried.

A preempted run resumes when it is started again; all other failures are final.
"""

from typing import Literal

from schemas.errors import Conflict, DataError, TunegateError, Unavailable

Kind = Literal["transient", "preempted", "data", "configuration", "refusal", "bug"]

# The first matching row counts.
KINDS: tuple[tuple[type[BaseException], Kind], ...] = (
    (KeyboardInterrupt, "preempted"),  # also `Preempted`: this process must end; the next run resumes
    (Unavailable, "transient"),
    (ConnectionError, "transient"),
    (TimeoutError, "transient"),  # also a step's time limit; training resumes from its last checkpoint
    (DataError, "data"),
    (Conflict, "refusal"),  # another process promoted first; the flow gates again against the new champion
    (TunegateError, "configuration"),  # recipe, credentials, altered bytes, divergence: a retry fails again
    (BaseException, "bug"),
)
RETRIED: frozenset[Kind] = frozenset({"transient"})


def kind_of(error: BaseException) -> Kind:
    return next(kind for family, kind in KINDS if isinstance(error, family))
