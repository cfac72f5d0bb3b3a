"""Bounds for the candidate's own scores: a floor, and a ceiling for what is better the lower it is.

Judged on the score itself; its interval stands beside it.
"""

from typing import Literal

from schemas.recipe.gate import Gate
from schemas.records.verdict import RuleResult
from tasks.methods.metrics import score as resampling
from tasks.methods.metrics.probabilities import CALIBRATION_ERROR
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules.evidence import Evidence


def judge_floor(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Ask the candidate's score to reach `at_least`. Raises ValueError without rows."""
    words = ("reaches the floor", "misses the floor")
    return [judge_score(gate, evidence, "floor", gate.metric, METRICS[gate.metric], gate.at_least, "at least", words)]


def judge_calibration(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Ask the probabilities to be believable; nothing unless the recipe asks."""
    ceiling, words = gate.max_calibration_error, ("is within the ceiling", "is above the ceiling")
    if ceiling is None:
        return []
    metric = ("calibration_error", CALIBRATION_ERROR)
    return [judge_score(gate, evidence, "calibration", *metric, ceiling, "at most", words)]


def judge_score(
    gate: Gate,
    evidence: Evidence,
    name: str,
    metric: str,
    score: resampling.Score,
    limit: float,
    sense: Literal["at least", "at most"],
    words: tuple[str, str],
) -> RuleResult:
    """Hold a score of the candidate against a limit; `words` say that it was met, and that it was not."""
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
