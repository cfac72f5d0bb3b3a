"""What kind of failure an error is; only what may pass by itself is tried again.

A transient failure is tried again by the step, a preemption by whoever starts the run again, the others by nobody.
"""

from typing import Literal

from schemas.errors import Conflict, DataError, TunegateError, Unavailable

Kind = Literal["transient", "preempted", "data", "configuration", "refusal", "bug"]

# The first row that fits counts.
KINDS: tuple[tuple[type[BaseException], Kind], ...] = (
    (KeyboardInterrupt, "preempted"),  # or `Preempted`: this process must end; the next goes on with what it saved
    (Unavailable, "transient"),
    (ConnectionError, "transient"),
    (TimeoutError, "transient"),  # a step's time limit too: it hung; training goes on from its last checkpoint
    (DataError, "data"),
    (Conflict, "refusal"),  # the log refused; the flow compares with the new champion and asks again
    (TunegateError, "configuration"),  # recipe, credentials, altered bytes, divergence: the same again fails again
    (BaseException, "bug"),
)
RETRIED: frozenset[Kind] = frozenset({"transient"})


def kind_of(error: BaseException) -> Kind:
    return next(kind for family, kind in KINDS if isinstance(error, family))
