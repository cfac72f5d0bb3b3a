"""Verdict of the gate: the result of each rule and the overall decision."""

from typing import Literal

from schemas.frozen import Frozen

Decision = Literal["pass", "refuse", "undecidable"]


class RuleResult(Frozen):
    """Result of one rule: `measured` must be at least, or at most, `limit`; `interval` decided.

    `rows_needed` would decide; `detectable` is the distance from the limit that these rows show with power 0.8.
    """

    name: str
    measured: float
    interval: tuple[float, float]
    limit: float
    sense: Literal["at least", "at most"] = "at least"
    decision: Decision
    reason: str
    rows_needed: int | None = None
    detectable: float | None = None


class Verdict(Frozen):
    """Any refuse outweighs undecidable, which outweighs pass."""

    decision: Decision
    rules: tuple[RuleResult, ...]
    rows: int
    rows_needed: int | None = None
