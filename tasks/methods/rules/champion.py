"""The candidate is as good as the champion, or better: within a margin, or by a gain."""

from schemas.recipe.gate import Gate
from schemas.records.verdict import RuleResult
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.paired import compare_by_metric, judge_difference, limit_of


def judge_champion(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    """Ask the difference to lie above the margin or the gain; nothing without a champion."""
    if evidence.champion is None:
        return []
    paired = compare_by_metric(gate, evidence, evidence.champion)
    name = "required-gain" if gate.required_gain is not None else "non-inferiority"
    return [judge_difference(gate, name, paired, limit_of(gate), "the champion's")]
