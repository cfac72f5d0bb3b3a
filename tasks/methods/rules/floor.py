"""Bounds for the candidate's own scores: a floor, and a ceiling for what is better the lower it is.

Judged on the score itself; its interval stands beside it.
"""

from schemas.recipe.gate import Gate
from schemas.records.verdict import Decision, RuleResult
from tasks.methods.metrics import score as resampling
from tasks.methods.metrics.probabilities import CALIBRATION_ERROR
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules.evidence import Evidence


def judge_floor(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Ask the candidate's score to reach `at_least`. Raises ValueError without rows."""
    measured, interval = measure(gate, gate.metric, METRICS[gate.metric], evidence)
    decision: Decision = "pass" if measured >= gate.at_least else "refuse"
    reached = "reaches" if decision == "pass" else "misses"
    reason = f"{gate.metric} {_in_words(measured, interval)} {reached} the floor {gate.at_least:.3f}"
    return [
        RuleResult(
            name="floor",
            measured=measured,
            interval=interval,
            limit=gate.at_least,
            decision=decision,
            reason=reason,
        )
    ]


def judge_calibration(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Ask the probabilities to be believable; nothing unless the recipe asks."""
    ceiling = gate.max_calibration_error
    if ceiling is None:
        return []
    measured, interval = measure(gate, "calibration_error", CALIBRATION_ERROR, evidence)
    decision: Decision = "pass" if measured <= ceiling else "refuse"
    where = "within" if decision == "pass" else "above"
    reason = f"calibration error {_in_words(measured, interval)} is {where} the ceiling {ceiling:.3f}"
    return [
        RuleResult(
            name="calibration",
            measured=measured,
            interval=interval,
            limit=ceiling,
            sense="at most",
            decision=decision,
            reason=reason,
        )
    ]


def measure(gate: Gate, metric: str, score: resampling.Score, evidence: Evidence) -> tuple[float, tuple[float, float]]:
    """The candidate's score and its interval."""
    groups = resampling.group_rows(*score.read(evidence.candidate))
    measured = resampling.measure(score, groups, 0, evidence.labels)[metric]
    (drawn,) = resampling.resample(score, groups, evidence.labels, gate.resamples, gate.seed)
    return measured, resampling.interval(drawn[metric], gate.confidence)


def _in_words(measured: float, interval: tuple[float, float]) -> str:
    return f"{measured:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
