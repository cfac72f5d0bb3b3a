"""The contract: each clause, what breaks it and who is named. Alone: pytest tests/tasks/test_validation.py."""

import pandas as pd
import pytest

from schemas.recipe.contract import Contract
from schemas.recipe.problem import CausalLM, MultiLabelClassification, TextClassification, TokenClassification
from schemas.records.references import Finding
from tasks.methods.rows import content_id
from tasks.validation import check_contract

LABELS = ("no", "yes")
PROBLEM = TextClassification(labels=LABELS)


def make_table(rows: list[tuple[str | None, str | None]], file: int = 1) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["text", "label"], dtype=object)
    return table.assign(id=[content_id(text) for text in table["text"]], file=file, row=range(1, len(table) + 1))


def good(prefix: str, count: int = 20) -> list[tuple[str | None, str | None]]:
    return [(f"{prefix} {number}", LABELS[number % 2]) for number in range(count)]


def check(
    train: list[tuple[str | None, str | None]],
    test: list[tuple[str | None, str | None]] | None = None,
    **clauses: object,
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[Finding, ...]]:
    contract = Contract.model_validate(clauses)
    return check_contract(make_table(train), make_table(test or good("test")), contract, PROBLEM)


def test_good_rows_pass_without_a_finding_and_unchanged():
    train, test, findings = check(good("train"))

    assert findings == ()
    assert len(train) == len(test) == 20


@pytest.mark.parametrize(
    ("extra", "clauses", "broken", "words", "examples"),
    [
        (
            [("x", "maybe"), ("y", "maybe")],
            {},
            2,
            "label that is not one of no, yes",
            ("row 21: 'maybe'", "row 22: 'maybe'"),
        ),
        ([(None, "no"), ("  ", "no")], {}, 2, "rows have no text", ("row 21", "row 22")),
        ([("x", None)], {}, 1, "rows have no label", ("row 21",)),
        ([("long" * 10, "no")], {"text_length": {"max": 30}}, 1, "more than 30 characters", ("row 21",)),
        ([("train 0", "no")], {"duplicates": {"max_fraction": 0.01}}, 1, "repeat text and label", ("row 21",)),
        ([("train 0", "yes")], {}, 2, "several labels", ("row 1", "row 21")),
        ([("test 3", "yes")], {}, 1, "the test rows have too", ("row 21",)),
    ],
)
def test_broken_row_is_counted_named_and_refused(extra, clauses, broken, words, examples):
    findings = check(good("train") + extra, **clauses)[2]

    assert [finding.refused for finding in findings] == [True]
    assert (findings[0].rows_name, findings[0].num_broken, findings[0].num_rows) == ("train", broken, 20 + len(extra))
    assert words in findings[0].clause
    assert findings[0].examples == examples


def test_at_most_five_rows_are_named():
    findings = check(good("train") + [(f"new {number}", "maybe") for number in range(9)])[2]

    assert len(findings[0].examples) == 6
    assert findings[0].examples[-1] == "..."
    assert "9 of 29 rows have a label" in findings[0].sentence


def test_single_class_is_refused():
    findings = check([(f"train {number}", "yes") for number in range(20)])[2]

    assert [finding.sentence for finding in findings if finding.refused] == [
        "train: not every label occurs: expected no, yes (found yes). "
        "Add rows of the missing labels, or remove them from problem.labels."
    ]


def test_too_few_rows_are_refused():
    findings = check(good("train", 6), rows={"min": 10})[2]

    assert "too few rows: the contract asks for 10" in findings[0].clause
    assert findings[0].examples == ("found 6",)


def test_rare_label_is_refused_with_its_share():
    findings = check(good("train") + [(f"more {number}", "no") for number in range(180)], class_share={"min": 0.1})[2]

    assert [finding.examples for finding in findings] == [("'yes' has 5.0%",)]


def test_repeats_within_the_allowed_share_pass_and_are_counted():
    findings = check([*good("train", 200), ("train 0", "no")], duplicates={"max_fraction": 0.01})[2]

    assert [(finding.num_broken, finding.refused) for finding in findings] == [(1, False)]


@pytest.mark.parametrize(("treatment", "left"), [("drop", 20), ("report", 21)])
def test_leakage_can_be_dropped_or_only_reported(treatment: str, left: int):
    train, test, findings = check([*good("train"), ("test 3", "yes")], leakage=treatment)

    assert (len(train), len(test)) == (left, 20)
    assert [(finding.num_broken, finding.refused) for finding in findings] == [(1, False)]


@pytest.mark.parametrize(("treatment", "left"), [("drop", 19), ("report", 21)])
def test_conflicts_can_be_dropped_or_only_reported(treatment: str, left: int):
    train, _, findings = check([*good("train"), ("train 0", "yes")], conflicts=treatment)

    assert len(train) == left
    assert [(finding.num_broken, finding.refused) for finding in findings] == [(2, False)]


def test_blank_texts_can_be_dropped_and_are_no_conflicts():
    train, _, findings = check([*good("train"), (None, "yes"), ("", "no"), (" ", "yes")], blanks="drop")

    assert list(train["text"]) == [text for text, _ in good("train")]
    assert [(finding.clause, finding.num_broken, finding.refused) for finding in findings] == [
        ("rows have no text", 3, False)
    ]
    assert [finding.clause for finding in check([*good("train"), (None, "yes"), ("", "no")])[2]] == [
        "rows have no text"
    ]


def test_other_clauses_speak_of_the_rows_that_are_left():
    train = [*((f"train {number}", "no") for number in range(15)), *((f"test {number}", "yes") for number in range(15))]
    test = [(f"test {number}", LABELS[number % 2]) for number in range(30)]

    findings = check(train, test, leakage="drop")[2]

    assert (findings[0].num_broken, findings[0].refused) == (15, False)
    assert "not every label occurs" in findings[1].clause
    assert findings[1].refused


def test_rows_of_several_files_are_named_with_their_file():
    both = pd.concat([make_table(good("train")), make_table([("x", "maybe")], file=2)], ignore_index=True)

    findings = check_contract(both, make_table(good("test")), Contract(), PROBLEM)[2]

    assert findings[0].examples == ("file 2, row 1: 'maybe'",)


def test_test_rows_are_held_to_the_contract_too():
    findings = check(good("train"), [*good("test"), ("x", "maybe")])[2]

    assert [finding.rows_name for finding in findings] == ["test"]


def check_lists(problem, train: list[tuple[object, object]], **clauses: object) -> list[str]:
    """Check against test rows that have other texts, of the same form."""
    test = [([f"{word}!" for word in text] if isinstance(text, list) else f"{text}!", label) for text, label in train]
    contract = Contract.model_validate({"rows": {"min": 1}} | clauses)
    findings = check_contract(make_table(train), make_table(test), contract, problem)[2]
    return [finding.sentence for finding in findings if finding.rows_name == "train"]


def test_tags_are_held_to_their_words_and_types():
    problem = TokenClassification(labels=("place", "person"))
    good_rows = [(["Ann", "left"], ["B-person", "O"]), (["to", "Rome"], ["O", "B-place"])]

    assert check_lists(problem, good_rows) == []
    (sentence,) = check_lists(problem, [*good_rows, (["a", "b"], ["O"]), (["c"], ["B-thing"])])
    assert sentence.startswith(
        "train: 2 of 4 rows have tags that are not the expected ones (O, B-place, I-place, B-person, I-person), one for "
        "each word (row 3: 2 words, 1 tags, row 4: 'B-thing'). Correct the tags, add new types to problem.labels, or"
    )
    assert "(iob2, bio, iob1, io, iobes, bioes, bilou, lower-case, or a list of the tags" in sentence


def test_missing_type_and_repeated_words_are_found():
    problem = TokenClassification(labels=("place", "person"))
    rows = [(["Ann", "left"], ["B-person", "O"]), (["Ann", "left"], ["B-person", "O"])]

    sentences = check_lists(problem, rows)
    assert "1 of 2 rows repeat text and label" in sentences[0]
    assert "not every label occurs: expected place, person (found person)" in sentences[1]


def test_rows_may_have_several_labels_or_none_but_only_known_ones():
    problem = MultiLabelClassification(labels=("a", "b"))
    rows = [("one", ["a", "b"]), ("two", []), ("three", ["b"])]

    assert check_lists(problem, rows) == []
    (sentence,) = check_lists(problem, [*rows, ("four", ["c"])])
    assert "1 of 4 rows have a label that is not one of a, b (row 4: 'c')" in sentence
    assert "'b' has 66.7%" in check_lists(problem, rows, class_share={"min": 0.9})[0]


def test_share_of_repeats_that_equals_the_limit_is_allowed():
    # 1 - 0.172 is a little more than 207 / 250.
    rows = good("train", 207)
    findings = check([*rows, *[rows[0]] * 43], duplicates={"max_fraction": 0.172})[2]

    assert [(finding.num_broken, finding.refused) for finding in findings] == [(43, False)]


def test_labels_in_another_order_or_named_twice_are_no_conflict_and_nothing_is_dropped():
    problem = MultiLabelClassification(labels=("a", "b"))
    train = make_table(
        [("one", ["a", "b"]), ("one", ["b", "a"]), ("two", ["a"]), ("two", ["b"]), ("three", ["b", "b"])]
    )
    train = pd.concat([train, make_table([("three", ["b"])])])
    test = make_table([("four", ["a"]), ("five", ["b"])])
    contract = Contract.model_validate({"rows": {"min": 1}, "conflicts": "drop", "duplicates": {"max_fraction": 0.5}})
    kept, _, findings = check_contract(train, test, contract, problem)

    assert list(kept["text"]) == ["one", "one", "three", "three"]
    assert (findings[0].clause, findings[0].num_broken) == ("rows have a text that occurs with several labels", 2)


def test_blank_answer_is_a_missing_label_as_a_null_is():
    train, test = (
        make_table([(f"question {name} {number}", f"answer {number}") for number in range(20)]) for name in "ab"
    )
    train.loc[[2, 4, 6], "label"] = ["", " \n", None]
    (finding,) = check_contract(train, test, Contract(), CausalLM())[2]

    assert (finding.clause, finding.refused) == ("rows have no label", True)
    assert finding.examples == ("row 3", "row 5", "row 7")


def test_labels_that_are_texts_are_asked_for_their_form_only():
    train, test = (
        make_table([(f"question {name} {number}", f"answer {number}") for number in range(20)]) for name in "ab"
    )
    assert check_contract(train, test, Contract(), CausalLM())[2] == ()
    train.at[3, "text"] = ["hello", "hi"]
    (finding,) = check_contract(train, test, Contract(), CausalLM())[2]

    assert finding.clause == "rows have turns of another order, or an answer of several turns"
    assert finding.examples[0].startswith("row 4: 2 turns (expected the user's")
    assert finding.refused
