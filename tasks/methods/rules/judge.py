"""The gate's rules, one after another, and the verdict that they add up to.

Pass when the one-sided bound lies above the limit, refuse when the opposite bound lies below it, otherwise undecidable.
Without a champion there is nothing to compare with: what concerns the candidate alone is asked.
"""

from collections.abc import Callable

from schemas.recipe.gate import Gate
from schemas.records.verdict import Decision, RuleResult, Verdict
from tasks.methods.rules.budgets import judge_budgets
from tasks.methods.rules.differences import judge_champion, judge_creep, judge_guard_rails
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.floor import judge_calibration, judge_floor
from tasks.methods.rules.seeds import judge_seeds
from tasks.methods.rules.slices import judge_slices

RULES: tuple[Callable[[Gate, Evidence], list[RuleResult]], ...] = (
    judge_floor,
    judge_champion,
    judge_creep,
    judge_slices,
    judge_guard_rails,
    judge_calibration,
    judge_seeds,
    judge_budgets,
)


def judge(gate: Gate, evidence: Evidence) -> Verdict:
    """Ask every rule. Raises ValueError without rows."""
    rules = tuple(result for rule in RULES for result in rule(gate, evidence))
    return weigh(rules, rows=evidence.num_rows)


def weigh(rules: tuple[RuleResult, ...], rows: int) -> Verdict:
    """Add rules up; without a rule nothing was shown, so nothing passes."""
    decisions = {rule.decision for rule in rules}
    if "refuse" in decisions:
        decision: Decision = "refuse"
    elif "undecidable" in decisions or not rules:
        decision = "undecidable"
    else:
        decision = "pass"
    needed = [rule.rows_needed for rule in rules if rule.rows_needed is not None]
    return Verdict(decision=decision, rules=rules, rows=rows, rows_needed=max(needed, default=None))
