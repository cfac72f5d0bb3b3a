"""Slices of the rows, by label and by thirds of the length, each compared with the champion.

A slice refuses if it is shown to be worse by more than its margin, with Holm's correction for several slices (Holm
1979). A slice too small to show anything refuses nothing; its interval shows the uncertainty.
"""

import numpy as np

from schemas.recipe.gate import Gate
from schemas.records.verdict import Decision, RuleResult
from tasks.methods.metrics.confusion import ACCURACY
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.paired import ROUNDING, Paired, compare_answers

LENGTHS = ("short", "medium", "long")


def check_slices(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Check each slice with enough rows; no results without slices in the recipe or without a champion."""
    champion, slices = evidence.champion, gate.slices
    if slices is None or champion is None:
        return []
    # Within the rows of one label F1 means little; accuracy is compared instead.
    score = ("accuracy", ACCURACY) if evidence.has_classes else (gate.metric, METRICS[gate.metric])
    chosen = {
        name: compare_answers(gate, *score, evidence.candidate[is_in], champion[is_in], evidence.labels)
        for name, is_in in find_slices(gate, evidence).items()
        if is_in.sum() >= slices.min_rows
    }
    p_values = {name: p_value(paired, -slices.margin) for name, paired in chosen.items()}
    adjusted = adjust_by_holm(p_values)
    # The smallest possible p-value for this number of resamples, corrected for the number of slices.
    can_show = len(chosen) / (gate.resamples + 1) <= 1 - gate.confidence
    return [_result(gate, name, paired, adjusted[name], slices.margin, can_show) for name, paired in chosen.items()]


def find_slices(gate: Gate, evidence: Evidence) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    by = gate.slices.by if gate.slices else ()
    if "label" in by and evidence.has_classes:
        truth_N = evidence.candidate["truth"].to_numpy()
        found |= {f"label {label}": truth_N == number for number, label in enumerate(evidence.labels)}
    if "length" in by and evidence.lengths_N is not None:
        thirds_N = np.digitize(evidence.lengths_N, np.quantile(evidence.lengths_N, [1 / 3, 2 / 3]), right=True)
        found |= {f"{name} texts": thirds_N == number for number, name in enumerate(LENGTHS)}
    return found


def p_value(paired: Paired, limit: float) -> float:
    """Return the share of resamples in which the difference is not below the limit."""
    return float(((paired.upper_R >= limit - ROUNDING).sum() + 1) / (len(paired.upper_R) + 1))


def adjust_by_holm(p_values: dict[str, float]) -> dict[str, float]:
    """Adjust p-values for multiple comparisons."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return adjusted


def _result(gate: Gate, name: str, paired: Paired, p: float, margin: float, can_show: bool) -> RuleResult:
    low, high = paired.bounds(gate.confidence)
    decision: Decision = "undecidable" if not can_show else "refuse" if p <= 1 - gate.confidence else "pass"
    shown = "is shown to be worse by more" if decision == "refuse" else "is not shown to be worse by more"
    if not can_show:
        shown = "cannot, with so few gate.resamples, be shown to be worse by more"
    return RuleResult(
        name=f"slice: {name}",
        measured=paired.difference,
        interval=(low, high),
        limit=-margin,
        decision=decision,
        reason=(
            f"{paired.metric} {paired.scores[0]:.3f} against the champion's {paired.scores[1]:.3f}, difference "
            f"{paired.difference:+.3f} [{low:+.3f}, {high:+.3f}] on {paired.num_rows:,} rows; it {shown} than "
            f"{margin:.3f} (Holm's p {p:.3f})"
        ),
    )
