"""Paired comparison of two models on the same rows: difference, decision, power.

Sources: Koehn 2004 (paired bootstrap); McNemar 1947 (exact test of discordant rows).
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binom, norm

from schemas.recipe.gate import Gate
from schemas.records.verdict import Decision, RuleResult
from tasks.methods.metrics import score as resampling
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules.bayesian_bootstrap import draw_differences
from tasks.methods.rules.evidence import Evidence

POWER = 0.8
# Differences of ratios carry rounding errors; a bound equal to the limit does not lie above it.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Paired:
    """Scores of two models, and R draws of their difference for the lower and for the upper bound."""

    metric: str
    scores: tuple[float, float]
    lower_R: np.ndarray
    upper_R: np.ndarray
    groups: resampling.Groups

    @property
    def difference(self) -> float:
        return self.scores[0] - self.scores[1]

    @property
    def num_rows(self) -> int:
        return int(self.groups.counts_G.sum())

    def bounds(self, confidence: float) -> tuple[float, float]:
        return resampling.interval(self.lower_R, confidence)[0], resampling.interval(self.upper_R, confidence)[1]


def limit_of(gate: Gate) -> float:
    """Return the difference candidate - champion that a gate requires: its gain, or its negative margin."""
    return gate.required_gain if gate.required_gain is not None else -(gate.non_inferiority_margin or 0)


def compare_answers(
    gate: Gate,
    metric: str,
    score: resampling.Score,
    one: pd.DataFrame,
    other: pd.DataFrame,
    labels: tuple[str, ...],
) -> Paired:
    """Score two tables of predictions on the same draws. Raises ValueError without rows, DataError without a score."""
    truth_N, one_N = score.read(one)
    groups = resampling.group_rows(truth_N, one_N, score.read(other)[1])
    first, second = (resampling.measure(score, groups, model, labels)[metric] for model in (0, 1))
    lower_R, upper_R = draw_differences(score, metric, groups, labels, gate.resamples, gate.seed)
    return Paired(metric, (first, second), lower_R, upper_R, groups)


def compare_by_metric(gate: Gate, evidence: Evidence, other: pd.DataFrame) -> Paired:
    """Score the candidate and another model on the same draws by the gate's metric."""
    return compare_answers(gate, gate.metric, METRICS[gate.metric], evidence.candidate, other, evidence.labels)


def check_difference(gate: Gate, name: str, paired: Paired, limit: float, reference: str) -> RuleResult:
    """Check that the difference candidate - reference lies above the limit.

    For accuracy and limit 0, McNemar's exact test decides. `reference` names it in the reason: "the champion's".
    """
    low, high = paired.bounds(gate.confidence)
    if paired.metric == "accuracy" and limit == 0:
        decision, why = decide_by_mcnemar(*count_discordant(paired.groups), gate.confidence)
    else:
        decision = decide_by_bounds(low, high, limit)
        why = f"{_WORDS[decision]} {limit:+.3f}"
    error = (high - low) / (2 * float(norm.ppf(gate.confidence)))
    distance = paired.difference - limit
    return RuleResult(
        name=name,
        measured=paired.difference,
        interval=(low, high),
        limit=limit,
        decision=decision,
        rows_needed=_rows_needed(paired, low, distance, error, gate) if decision == "undecidable" else None,
        detectable=detectable(error, gate),
        reason=(
            f"{paired.metric} {paired.scores[0]:.3f} against {reference} {paired.scores[1]:.3f}: difference "
            f"{paired.difference:+.3f} [{low:+.3f}, {high:+.3f}] on the same rows; {why}; {paired.num_rows:,} rows "
            f"like these can show a distance of {detectable(error, gate):.3f}"
        ),
    )


def _rows_needed(paired: Paired, low: float, distance: float, error: float, gate: Gate) -> int | None:
    one_G, other_G = paired.groups.answers_G
    if np.array_equal(one_G, other_G) and distance:
        # With equal predictions only the added row is uncertain; its weight is 1/n.
        return math.ceil(paired.num_rows * abs(low) / abs(distance))
    return rows_needed(distance, error, paired.num_rows, gate)


_WORDS = {
    "pass": "the lower bound lies above the limit",
    "refuse": "even the upper bound lies below the limit",
    "undecidable": "the interval contains the limit",
}


def decide_by_bounds(low: float, high: float, limit: float) -> Decision:
    """Decide by one-sided bounds; undecidable if one is not finite."""
    if not math.isfinite(low + high):
        return "undecidable"
    if low > limit + ROUNDING:
        return "pass"
    return "refuse" if high < limit - ROUNDING else "undecidable"


def count_discordant(groups: resampling.Groups) -> tuple[int, int]:
    """Count the rows that only the first model has right, and those that only the second has right."""
    is_right, was_right = (answers_G == groups.truth_G for answers_G in groups.answers_G)
    return int(groups.counts_G[is_right & ~was_right].sum()), int(groups.counts_G[was_right & ~is_right].sum())


def decide_by_mcnemar(gained: int, lost: int, confidence: float) -> tuple[Decision, str]:
    """Decide whether more rows were gained than lost; between equally good models each is a coin toss."""
    discordant = gained + lost
    p_better, p_worse = (float(binom.sf(count - 1, discordant, 0.5)) for count in (gained, lost))
    decision: Decision = (
        "pass" if p_better <= 1 - confidence else "refuse" if p_worse <= 1 - confidence else "undecidable"
    )
    p = p_worse if decision == "refuse" else p_better
    return decision, f"{gained} rows gained, {lost} lost: McNemar's exact p = {p:.3f}, one-sided"


def detectable(error: float, gate: Gate) -> float:
    """Return the smallest distance from the limit that these rows detect with power 0.8, for a standard `error`."""
    return (float(norm.ppf(gate.confidence)) + float(norm.ppf(POWER))) * error


def rows_needed(distance: float, error: float, rows: int, gate: Gate) -> int | None:
    """Return the rows needed to detect a difference at this distance from the limit with power 0.8; None at the limit.

    `error` is the standard error at `rows`.
    """
    if abs(distance) < 1e-6:
        return None
    return math.ceil(rows * (detectable(error, gate) / distance) ** 2)
