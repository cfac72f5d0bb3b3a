"""The candidate is better than what needs no tuning, such as the commonest answer."""

from schemas.recipe.gate import Gate
from schemas.records.verdict import RuleResult
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.paired import compare_by_metric, judge_difference


def judge_guard_rails(gate: Gate, evidence: Evidence) -> list[RuleResult]:
    return [
        judge_difference(
            gate,
            f"better-than-{name}",
            compare_by_metric(gate, evidence, answers),
            0.0,
            f"the baseline's ({name})",
        )
        for name, answers in evidence.baselines.items()
    ]
