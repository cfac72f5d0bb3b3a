"""How rules add up to a verdict. Alone: pytest tests/tasks/methods/test_weighing.py."""

import pytest

from schemas.recipe.gate import Gate
from schemas.records.verdict import RuleResult
from tasks.methods.rules.decision import weigh
from tasks.methods.rules.paired import limit_of


def rule(decision: str, rows_needed: int | None = None) -> RuleResult:
    return RuleResult(
        name="r", measured=0, interval=(0, 0), limit=0, decision=decision, reason="", rows_needed=rows_needed
    )


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "undecidable"], "undecidable"),
        (["undecidable", "refuse"], "refuse"),
        (["pass", "refuse"], "refuse"),
        ([], "undecidable"),
    ],
)
def test_refuse_outweighs_undecidable_which_outweighs_pass(decisions: list[str], expected: str):
    assert weigh(tuple(rule(decision) for decision in decisions), rows=10).decision == expected


def test_rows_needed_is_that_of_the_most_demanding_rule():
    assert weigh((rule("undecidable", 500), rule("undecidable", 2_000)), rows=10).rows_needed == 2_000


def test_limit_of_a_margin_is_negative_and_of_a_gain_positive():
    assert limit_of(Gate(at_least=0.5, non_inferiority_margin=0.03)) == -0.03
    assert limit_of(Gate(at_least=0.5, required_gain=0.01)) == 0.01
