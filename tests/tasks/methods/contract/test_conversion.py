"""Rows of other forms, and texts that are alike. Alone: pytest tests/tasks/methods/contract/test_conversion.py."""

import numpy as np
import pandas as pd
import pytest

from schemas.recipe.contract import Contract
from schemas.recipe.problem import (
    CausalLM,
    MultiLabelClassification,
    SequenceToSequence,
    TextClassification,
    TokenClassification,
)
from tasks.methods.contract.conversion import convert_rows
from tasks.methods.rows import alike, content_id, match_of
from tasks.validation import check_contract, check_forms

ONE = TextClassification(labels=("dry", "wet"))
SEVERAL = MultiLabelClassification(labels=("dry", "wet"))
TAGGED = TokenClassification(labels=("river",))


def make_table(rows: list[tuple[object, object]]) -> pd.DataFrame:
    texts, labels = (pd.Series(values, dtype=object) for values in zip(*rows, strict=True))
    ids = [content_id(text) for text in texts]
    return pd.DataFrame({"id": ids, "file": 1, "row": range(1, len(rows) + 1), "text": texts, "label": labels})


def find_forms(problem, *rows: tuple[object, object]) -> list[str]:
    table = convert_rows(make_table(list(rows)), Contract(), problem)
    return [finding.sentence for finding in check_forms(table, table[:0], problem)]


@pytest.mark.parametrize(
    ("problem", "row", "sentence"),
    [
        (
            ONE,
            ("rain", ["wet"]),
            "train: 1 of 2 rows have something other than one label in the column of data.train.label (row 1: the list "
            "['wet']). Name another column there, or choose problem.kind multi-label-classification, which takes lists "
            "of labels.",
        ),
        (ONE, (["rain", "again"], "wet"), "other than one text in the column of data.train.text (row 1: the list"),
        (ONE, ("rain", {"name": "wet"}), "data.train.label (row 1: the object {'name': 'wet'})"),
        (SEVERAL, ("rain", "wet"), "a list of labels in the column of data.train.label (row 1: the text 'wet')"),
        (SEVERAL, ("rain", "['wet']"), "or write lists in JSON Lines or Parquet, since CSV holds none."),
        (SEVERAL, ("rain", ["wet", None]), "(row 1: the list ['wet', None])"),
        (TAGGED, ("['the', 'Po']", ["O", "B-river"]), "other than a list of words in the column of data.train.text"),
        (TAGGED, (["the", "Po"], "O B-river"), "other than a list of tags in the column of data.train.label"),
        (SequenceToSequence(), ("rain", ["Regen"]), "other than one text in the column of data.train.label"),
        (SequenceToSequence(), (["rain"], "Regen"), "other than one text in the column of data.train.text"),
        (CausalLM(), ("rain", ["Regen"]), "other than one text in the column of data.train.label"),
        (
            CausalLM(),
            ({"content": "x" * 9_000}, "rain"),
            "or a list of turns (texts, or objects of a role and a content)",
        ),
        (CausalLM(), ([{"from": "human", "value": "x"}], "rain"), "(row 1: the list [{'from': 'human'"),
    ],
)
def test_value_of_another_form_is_named_with_row_column_and_form(problem, row, sentence: str):
    good = (["dry"], ["O"]) if problem is TAGGED else ("sun", ["dry"] if problem is SEVERAL else "dry")
    (found,) = find_forms(problem, row, good)

    assert sentence in found
    assert len(found) < 400


def test_rows_of_another_form_end_the_check_and_are_left_out():
    good = [(f"{number} days", ONE.labels[number % 2]) for number in range(20)]
    test = [(f"{number} nights", ONE.labels[number % 2]) for number in range(20)]
    train, _, findings = check_contract(
        make_table([*good, ("rain", ["wet"]), ("fog", "damp")]), make_table(test), Contract(), ONE
    )

    assert [(finding.num_broken, finding.refused) for finding in findings] == [(1, True)]
    assert list(train["text"]) == [text for text, _ in good] + ["fog"]


@pytest.mark.parametrize(("problem", "label"), [(ONE, "-1"), (SEVERAL, ["-1"]), (SequenceToSequence(), " ")])
def test_source_without_labels_is_told_so(problem, label: object):
    (found,) = find_forms(problem, ("rain", label), ("sun", label), ("fog", None))

    assert "train: 2 of 3 rows have no label: the column of data.train.label holds -1 or blanks only" in found
    assert "Name another file or split in data.train." in found


def test_some_labels_of_minus_one_are_invalid_and_a_label_of_that_name_is_valid():
    assert find_forms(ONE, ("rain", "-1"), ("sun", "dry")) == []
    assert find_forms(TextClassification(labels=("-1", "1")), ("rain", "-1"), ("sun", "-1")) == []


def test_labels_become_the_names_that_they_spell_and_rows_keep_their_ids():
    problem = TextClassification(labels=("na\u00efve", "true"))
    rows = make_table([("rain", "nai\u0308ve"), ("sun", "True"), ("fog", "false")])
    converted = convert_rows(rows, Contract(), problem)

    assert list(converted["label"]) == ["na\u00efve", "true", "false"]
    assert list(converted["invalid"]) == [None, None, "'false'"]
    assert list(converted["id"]) == list(rows["id"])


def test_arrays_of_parquet_are_lists():
    converted = convert_rows(make_table([(np.array(["the", "Po"]), np.array(["O", "B-river"]))]), Contract(), TAGGED)

    assert converted["text"][0] == ["the", "Po"]
    assert converted["label"][0] == ["O", "B-river"]


def test_turns_beside_texts_are_lists_and_their_ids_are_those_of_the_prompt():
    turns = [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "No."}]
    converted = convert_rows(make_table([(turns, "No."), ("Sun?", "Yes.")]), Contract(), CausalLM())

    assert list(converted["text"]) == [["Rain?"], ["Sun?"]]
    assert list(converted["id"]) == [content_id("Rain?"), content_id("Sun?")]


@pytest.mark.parametrize(
    ("text", "ignore", "same"),
    [
        ("one\r\ntwo", (), "one two"),
        ("one\rtwo\n", (), "one two"),
        (" one \t two\u00a0", (), "one two"),
        ("one\u3000\u2009two", (), "one two"),
        ("\ufeffone\u200b two", (), "one two"),
        ("cafe\u0301", (), "caf\u00e9"),
        ("One TWO", ("case",), "one two"),
        ("stra\u00dfe", ("case",), "strasse"),
        ("see https://a.example/x?y=1 now", ("links",), "see https:// now"),
        ("See WWW.b.example now", ("case", "links"), "see https:// now"),
        (["one", "two"], (), "one two"),
    ],
)
def test_texts_are_alike_but_for_blanks_and_what_is_ignored(text: object, ignore: tuple[str, ...], same: str):
    assert alike(text, ignore) == same
    assert match_of(text, ignore) == match_of(same, ignore)


def test_case_links_and_words_count_unless_ignored():
    assert len({match_of(text) for text in ("one two", "One two", "one https://a.example", "onetwo")}) == 4
    assert match_of(" \u200b\n") is None


def check_alike(train: list[tuple[object, object]], **clauses: object) -> list[tuple[str, int]]:
    contract = Contract.model_validate({"rows": {"min": 1}} | clauses)
    test = make_table([("wet\nroad", "wet"), ("dry road", "dry")])
    findings = check_contract(make_table(train), test, contract, ONE)[2]
    return [(finding.clause.split(";")[0].split(",")[0], finding.num_broken) for finding in findings]


LEAKED = "rows have a text that the test rows have too"


@pytest.mark.parametrize(
    ("extra", "clauses", "expected"),
    [
        ("wet\r\nroad ", {}, [(LEAKED, 1)]),
        ("wet\u00a0road", {}, [(LEAKED, 1)]),
        ("Wet road", {}, []),
        ("Wet road", {"ignore": ["case"]}, [(LEAKED, 1)]),
        (" grey  sky", {}, [("rows repeat text and label of an earlier one", 1)]),
        ("blue sky ", {}, [("rows have a text that occurs with several labels", 2)]),
    ],
)
def test_leaks_repeats_and_conflicts_are_found_by_what_is_alike(
    extra: str, clauses: dict[str, object], expected: object
):
    assert check_alike([("grey sky", "wet"), ("blue sky", "dry"), (extra, "wet")], **clauses) == expected


def test_conflicts_that_are_dropped_are_all_rows_of_texts_that_are_alike():
    contract = Contract.model_validate({"rows": {"min": 1}, "conflicts": "drop"})
    rows = make_table([("grey sky", "wet"), ("grey  sky", "dry"), ("rain", "wet"), ("sun", "dry")])
    train, _, _ = check_contract(rows, make_table([("fog", "wet"), ("heat", "dry")]), contract, ONE)

    assert list(train["text"]) == ["rain", "sun"]
