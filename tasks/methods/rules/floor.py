"""The candidate's own score reaches a floor. Judged on the score itself; its interval stands beside it."""

from schemas.judging import Gate
from schemas.verdict import Decision, RuleResult
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules import resampling
from tasks.methods.rules.evidence import Evidence


def judge_floor(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Ask the candidate's score to reach `at_least`. Raises ValueError without rows."""
    score = METRICS[gate.metric]
    groups = resampling.group_rows(*score.read(evidence.candidate))
    measured = resampling.measure(score, groups, 0, evidence.labels)[gate.metric]
    (drawn,) = resampling.resample(score, groups, evidence.labels, gate.resamples, gate.seed)
    low, high = resampling.interval(drawn[gate.metric], gate.confidence)
    decision: Decision = "pass" if measured >= gate.at_least else "refuse"
    reached = "reaches" if decision == "pass" else "misses"
    return [
        RuleResult(
            name="floor",
            measured=measured,
            interval=(low, high),
            limit=gate.at_least,
            decision=decision,
            reason=f"{gate.metric} {measured:.3f} [{low:.3f}, {high:.3f}] {reached} the floor {gate.at_least:.3f}",
        )
    ]
