"""Rules on differences to other models: the champion, the best earlier champion, and baselines without tuning."""

import pandas as pd

from schemas.recipe.gate import Gate
from schemas.records.verdict import RuleResult
from tasks.methods.metrics import score as resampling
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.paired import check_difference, compare_by_metric, limit_of


def check_champion(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Check that the difference lies above the margin or the gain; no results without a champion."""
    if evidence.champion is None:
        return []
    paired = compare_by_metric(gate, evidence, evidence.champion)
    name = "required-gain" if gate.required_gain is not None else "non-inferiority"
    return [check_difference(gate, name, paired, limit_of(gate), "the champion's")]


def check_creep(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Check the margin against the earlier champion that scores best on these rows, if it beats the current one.

    Margins add up over many retrains. A required gain cannot creep, so it applies to the champion only.
    """
    if evidence.champion is None or not evidence.earlier or gate.non_inferiority_margin is None:
        return []
    score = METRICS[gate.metric]

    def scored(answers: pd.DataFrame) -> float:
        return resampling.measure(score, resampling.group_rows(*score.read(answers)), 0, evidence.labels)[gate.metric]

    best = max(sorted(evidence.earlier), key=lambda name: scored(evidence.earlier[name]))
    if scored(evidence.earlier[best]) <= scored(evidence.champion):
        return []
    paired = compare_by_metric(gate, evidence, evidence.earlier[best])
    return [check_difference(gate, "no-creep", paired, limit_of(gate), f"the best earlier champion's ({best[:12]})")]


def check_guard_rails(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Check that the candidate is better than each baseline."""
    paired = {name: compare_by_metric(gate, evidence, answers) for name, answers in evidence.baselines.items()}
    return [
        check_difference(gate, f"better-than-{name}", found, 0.0, f"the baseline's ({name})")
        for name, found in paired.items()
    ]
