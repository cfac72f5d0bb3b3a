"""Limits on the candidate's own scores: a floor, and a ceiling for the calibration error.

The score itself decides; its interval is shown beside it.
"""

from typing import Literal

from schemas.recipe.gate import Gate
from schemas.records.verdict import RuleResult
from tasks.methods.metrics import score as resampling
from tasks.methods.metrics.probabilities import CALIBRATION_ERROR
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules.evidence import Evidence


def check_floor(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Check that the candidate's score reaches `at_least`. Raises ValueError without rows."""
    words = ("reaches the floor", "misses the floor")
    return [check_score(gate, evidence, "floor", gate.metric, METRICS[gate.metric], gate.at_least, "at least", words)]


def check_calibration(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Check the calibration error; no results unless the recipe limits it."""
    ceiling, words = gate.max_calibration_error, ("is within the ceiling", "is above the ceiling")
    if ceiling is None:
        return []
    metric = ("calibration_error", CALIBRATION_ERROR)
    return [check_score(gate, evidence, "calibration", *metric, ceiling, "at most", words)]


def check_score(
    gate: Gate,
    evidence: Evidence,
    name: str,
    metric: str,
    score: resampling.Score,
    limit: float,
    sense: Literal["at least", "at most"],
    words: tuple[str, str],
) -> RuleResult:
    """Check a score of the candidate against a limit; `words` describe success and failure."""
    groups = resampling.group_rows(*score.read(evidence.candidate))
    measured = resampling.measure(score, groups, 0, evidence.labels)[metric]
    (drawn,) = resampling.resample(score, groups, evidence.labels, gate.resamples, gate.seed)
    low, high = resampling.interval(drawn[metric], gate.confidence)
    is_met = measured >= limit if sense == "at least" else measured <= limit
    return RuleResult(
        name=name,
        measured=measured,
        interval=(low, high),
        limit=limit,
        sense=sense,
        decision="pass" if is_met else "refuse",
        reason=f"{metric} {measured:.3f} [{low:.3f}, {high:.3f}] {words[not is_met]} {limit:.3f}",
    )
