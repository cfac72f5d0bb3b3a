"""How rules add up to a verdict. Alone: pytest tests/schemas/records/test_verdict.py."""

import pytest

from schemas.records.outcome import EXIT_CODES
from schemas.records.verdict import RuleResult, weigh


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


def test_every_ending_has_the_exit_code_that_is_documented():
    assert EXIT_CODES == {
        "promoted": 0,
        "unchanged": 0,
        "proposed": 0,
        "passed": 0,
        "refused": 1,
        "rejected": 1,
        "undecidable": 3,
        "data-refused": 4,
    }
