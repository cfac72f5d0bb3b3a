"""How runs end. Alone: pytest tests/schemas/test_outcome.py."""

from schemas.records.outcome import EXIT_CODES


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
