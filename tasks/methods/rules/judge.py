"""The gate's rules: a floor for the candidate's own score, and a paired comparison with the champion.

Pass when the one-sided bound meets the limit, refuse when the opposite bound proves that it is missed, otherwise
undecidable, with the number of rows that would decide. A floor is judged on the score itself.
"""

import math

import numpy as np
from scipy.stats import norm

from schemas.judging import Gate
from schemas.verdict import Decision, RuleResult, Verdict, weigh
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules import resampling

POWER = 0.8


def judge(
    gate: Gate, truth_N: np.ndarray, candidate_N: np.ndarray, champion_N: np.ndarray | None, labels: tuple[str, ...]
) -> Verdict:
    """Weigh the candidate's answers; without a champion only the floor is asked. Raises ValueError without rows."""
    score, name = METRICS[gate.metric], gate.metric
    answers = [candidate_N] if champion_N is None else [candidate_N, champion_N]
    groups = resampling.group_rows(truth_N, *answers)
    measured = [resampling.measure(score, groups, model, labels)[name] for model in range(len(answers))]
    drawn = [values[name] for values in resampling.resample(score, groups, labels, gate.resamples, gate.seed)]
    rules = [judge_floor(gate, measured[0], drawn[0])]
    if champion_N is not None:
        rules.append(judge_pair(gate, measured[0], measured[1], drawn[0] - drawn[1], len(truth_N)))
    return weigh(tuple(rules), rows=len(truth_N))


def judge_floor(gate: Gate, measured: float, drawn_R: np.ndarray) -> RuleResult:
    """Ask the candidate's score to reach `at_least`."""
    low, high = resampling.interval(drawn_R, gate.confidence)
    decision: Decision = "pass" if measured >= gate.at_least else "refuse"
    reached = "reaches" if decision == "pass" else "misses"
    return RuleResult(
        name="floor",
        measured=measured,
        interval=(low, high),
        limit=gate.at_least,
        decision=decision,
        reason=f"{gate.metric} {measured:.3f} [{low:.3f}, {high:.3f}] {reached} the floor {gate.at_least:.3f}",
    )


def judge_pair(gate: Gate, candidate: float, champion: float, differences_R: np.ndarray, rows: int) -> RuleResult:
    """Ask the difference candidate - champion on the same rows to reach the margin or the gain."""
    low, high = resampling.interval(differences_R, gate.confidence)
    decision = _decide(low, high, gate.limit)
    needed = None
    if decision == "undecidable":
        needed = rows_needed(candidate - champion, gate.limit, high - low, rows, gate.confidence)
    return RuleResult(
        name="required-gain" if gate.required_gain is not None else "non-inferiority",
        measured=candidate - champion,
        interval=(low, high),
        limit=gate.limit,
        decision=decision,
        rows_needed=needed,
        reason=(
            f"{gate.metric} {candidate:.3f} against the champion's {champion:.3f}: difference "
            f"{candidate - champion:+.3f} [{low:+.3f}, {high:+.3f}] on the same rows; "
            f"{_WORDS[decision]} {gate.limit:+.3f}"
        ),
    )


_WORDS = {
    "pass": "the lower bound reaches the limit",
    "refuse": "even the upper bound misses the limit",
    "undecidable": "the interval lies on both sides of the limit",
}


def _decide(low: float, high: float, limit: float) -> Decision:
    if not math.isfinite(low + high):
        return "undecidable"
    if low >= limit:
        return "pass"
    return "refuse" if high < limit else "undecidable"


def rows_needed(difference: float, limit: float, width: float, rows: int, confidence: float) -> int | None:
    """Rows at which this difference would be decided with power 0.8; None when it sits on the limit itself.

    `width` is that of the interval between two one-sided bounds, measured at `rows`.
    """
    distance = abs(difference - limit)
    if distance < 1e-6:
        return None
    quantile = float(norm.ppf(confidence))
    error_at_one_row = width / (2 * quantile) * math.sqrt(rows)
    return math.ceil(((quantile + float(norm.ppf(POWER))) * error_at_one_row / distance) ** 2)
