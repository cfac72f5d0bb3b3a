"""The gate's rules: a floor for the candidate's own score, and a paired comparison with the champion.

Pass when the one-sided bound lies above the limit, refuse when the opposite bound lies below it, otherwise undecidable.
A floor is judged on the score itself. Whether a candidate is more accurate at all (accuracy, required gain 0) is
McNemar's question, decided by his exact test. Sources: Efron and Tibshirani 1993, chapter 16; McNemar 1947.
"""

import math

import numpy as np
from scipy.stats import binom, norm

from schemas.judging import Gate
from schemas.verdict import Decision, RuleResult, Verdict, weigh
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules import resampling

POWER = 0.8
# Differences of shares carry rounding errors; a bound that equals the limit does not lie above it.
ROUNDING = 1e-9


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
        rules.append(judge_pair(gate, measured[0], measured[1], drawn[0] - drawn[1], groups))
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


def judge_pair(
    gate: Gate, candidate: float, champion: float, differences_R: np.ndarray, groups: resampling.Groups
) -> RuleResult:
    """Ask the difference candidate - champion on the same rows to lie above the margin or the gain."""
    difference, rows = candidate - champion, int(groups.counts_G.sum())
    low, high = resampling.interval(differences_R, gate.confidence)
    if gate.metric == "accuracy" and gate.limit == 0:
        decision, why = decide_by_mcnemar(*count_discordant(groups), gate.confidence)
    else:
        decision = decide(low, high, gate.limit)
        why = f"{_WORDS[decision]} {gate.limit:+.3f}"
    error = (high - low) / (2 * float(norm.ppf(gate.confidence)))
    return RuleResult(
        name="required-gain" if gate.required_gain is not None else "non-inferiority",
        measured=difference,
        interval=(low, high),
        limit=gate.limit,
        decision=decision,
        rows_needed=rows_needed(difference - gate.limit, error, rows, gate) if decision == "undecidable" else None,
        detectable=detectable(error, gate),
        reason=(
            f"{gate.metric} {candidate:.3f} against the champion's {champion:.3f}: difference "
            f"{difference:+.3f} [{low:+.3f}, {high:+.3f}] on the same rows; {why}"
        ),
    )


_WORDS = {
    "pass": "the lower bound lies above the limit",
    "refuse": "even the upper bound lies below the limit",
    "undecidable": "the interval holds the limit",
}


def decide(low: float, high: float, limit: float) -> Decision:
    """Decide by one-sided bounds; what is not finite decides nothing."""
    if not math.isfinite(low + high):
        return "undecidable"
    if low > limit + ROUNDING:
        return "pass"
    return "refuse" if high < limit - ROUNDING else "undecidable"


def count_discordant(groups: resampling.Groups) -> tuple[int, int]:
    """Rows that the candidate alone has right, and those that the champion alone has right."""
    is_right, was_right = (answers_G == groups.truth_G for answers_G in groups.answers_G)
    return int(groups.counts_G[is_right & ~was_right].sum()), int(groups.counts_G[was_right & ~is_right].sum())


def decide_by_mcnemar(gained: int, lost: int, confidence: float) -> tuple[Decision, str]:
    """Decide whether more was gained than lost: of equally good models each discordant row is a coin's throw."""
    discordant = gained + lost
    p_better, p_worse = (float(binom.sf(count - 1, discordant, 0.5)) for count in (gained, lost))
    decision: Decision = (
        "pass" if p_better <= 1 - confidence else "refuse" if p_worse <= 1 - confidence else "undecidable"
    )
    p = p_worse if decision == "refuse" else p_better
    return decision, f"{gained} rows gained, {lost} lost: McNemar's exact p = {p:.3f}, one-sided"


def detectable(error: float, gate: Gate) -> float:
    """The smallest distance from the limit that these rows show with power 0.8; `error` is the standard error."""
    return (float(norm.ppf(gate.confidence)) + float(norm.ppf(POWER))) * error


def rows_needed(distance: float, error: float, rows: int, gate: Gate) -> int | None:
    """Rows at which a difference at this distance from the limit is decided with power 0.8; None at the limit itself.

    `error` is the standard error at `rows`.
    """
    if abs(distance) < 1e-6:
        return None
    return math.ceil(rows * (detectable(error, gate) / distance) ** 2)
