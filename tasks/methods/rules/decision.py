"""The decision of the gate: its rules in order, and their combination into a verdict.

Pass when the one-sided bound lies above the limit, refuse when the opposite bound lies below it, otherwise undecidable.
Without a champion only rules about the candidate alone apply.
"""

from collections.abc import Callable

from schemas.recipe.gate import Gate
from schemas.records.verdict import Decision, RuleResult, Verdict
from tasks.methods.rules.budgets import check_budgets
from tasks.methods.rules.differences import check_champion, check_creep, check_guard_rails
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.floor import check_calibration, check_floor
from tasks.methods.rules.seeds import check_seeds
from tasks.methods.rules.slices import check_slices

RULES: tuple[Callable[[Gate, Evidence], list[RuleResult]], ...] = (
    check_floor,
    check_champion,
    check_creep,
    check_slices,
    check_guard_rails,
    check_calibration,
    check_seeds,
    check_budgets,
)


def decide(gate: Gate, evidence: Evidence) -> Verdict:
    """Check every rule. Raises ValueError without rows."""
    rules = tuple(result for rule in RULES for result in rule(gate, evidence))
    return weigh(rules, rows=evidence.num_rows)


def weigh(rules: tuple[RuleResult, ...], rows: int) -> Verdict:
    """Combine results of rules into a verdict; undecidable without results."""
    decisions = {rule.decision for rule in rules}
    if "refuse" in decisions:
        decision: Decision = "refuse"
    elif "undecidable" in decisions or not rules:
        decision = "undecidable"
    else:
        decision = "pass"
    needed = [rule.rows_needed for rule in rules if rule.rows_needed is not None]
    return Verdict(decision=decision, rules=rules, rows=rows, rows_needed=max(needed, default=None))
