"""Methods side by side. Alone: pytest tests/flows/test_compare.py."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from schemas.recipe.problem import TextClassification
from tasks.comparison import score_methods
from tasks.methods.baselines.table import BASELINES
from tests.conftest import LABELS, make_rows
from tests.flows.command import last_json, run


def make_answers(wrong: int, count: int = 90) -> pd.DataFrame:
    truth = np.arange(count) % 3
    answer = np.where(np.arange(count) < wrong, (truth + 1) % 3, truth)
    return pd.DataFrame({"id": [str(number) for number in range(count)], "truth": truth, "answer": answer})


def test_score_of_a_method_is_the_mean_over_seeds_with_an_interval_over_rows():
    (found,) = score_methods({"lora": [make_answers(9), make_answers(18)]}, make_answers(45), "macro_f1", LABELS)
    expected = [f1_score(table["truth"], table["answer"], average="macro") for table in map(make_answers, (9, 18))]

    assert found.scores == pytest.approx(expected)
    assert found.mean == pytest.approx(sum(expected) / 2)
    assert found.interval[0] < found.mean < found.interval[1]
    assert found.beats_baseline
    assert found.ahead[0] < found.mean - 0.5 < found.ahead[1]


@pytest.mark.parametrize("wrong", [44, 45, 60])
def test_method_that_is_not_surely_better_than_the_baseline_does_not_beat_it(wrong: int):
    (found,) = score_methods({"prompt": [make_answers(wrong)]}, make_answers(45), "accuracy", LABELS)

    assert not found.beats_baseline
    assert found.standard_deviation == 0


def test_baselines_are_the_commonest_answer_and_words():
    train, test = (pd.DataFrame(make_rows(count, seed)).assign(id=range(count)) for count, seed in ((200, 1), (60, 2)))
    train = pd.concat([train, train[train["label"] == "fine"].assign(text="the shop")])
    found = {name: BASELINES[name](train, test, LABELS) for name in TextClassification.BASELINES}
    accuracy = {name: (answers["answer"] == answers["truth"]).mean() for name, answers in found.items()}

    assert set(found["commonest"]["answer"]) == {LABELS.index("fine")}
    assert list(accuracy) == ["commonest", "words"]
    assert accuracy["words"] > 0.9
    assert accuracy["commonest"] == pytest.approx(1 / 3)


def test_dictionary_marks_the_longest_entity_it_has_seen_with_its_most_frequent_type():
    train = pd.DataFrame(
        {
            "text": [["New", "York", "wins"], ["in", "new", "york"], ["York", "sells"], ["york", "York"]],
            "label": [["B-group", "I-group", "O"], ["O", "B-place", "I-place"], ["B-group", "O"], ["B-place"] * 2],
        }
    )
    train = pd.concat([train, train[1:2]])
    test = pd.DataFrame({"id": ["a"], "text": [["York", "or", "NEW", "YORK"]], "label": [["O"] * 4]})
    found = BASELINES["entities"](train, test, ("group", "place"))

    assert found["answer"].tolist() == ["B-place O B-place I-place"]
    assert found["truth"].tolist() == ["O O O O"]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_engine")
def test_methods_are_trained_once_and_put_side_by_side(make_recipe, tmp_path: Path):
    other = make_recipe("low", rows_seed=81, tuning={"kind": "top", "num_layers": 1})
    recipe = make_recipe("compared", rows_seed=81)
    command = ("compare", recipe, "--tuning", f"full,lora,{other}", "--seeds", "2")
    first = run(*command, "--json")
    assert first.exit_code == 0, first.stderr[-3000:]
    found = last_json(first)
    again = run(*command)

    assert [method["name"] for method in found["methods"]] == ["full", "lora", "low"]
    assert [method["name"] for method in found["baselines"]] == ["commonest", "words"]
    assert all(len(method["scores"]) == 2 for method in found["methods"])
    full, lora, low = (cost["training"] for cost in found["costs"])
    assert full["trained_parameters"] == full["parameters"]
    assert 0 < lora["trained_parameters"] < low["trained_parameters"] < full["parameters"]
    assert all(cost["training"]["seconds"] > 0 for cost in found["costs"])
    assert found["costs"][1]["artifact_bytes"] < found["costs"][0]["artifact_bytes"]
    assert (Path(found["folder"]) / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert again.exit_code == 0
    assert "ran" not in [line.split()[2] for line in again.stderr.splitlines() if "seed" in line]
    assert again.stdout.count("\n| ") == 5
    assert "| full | " in again.stdout


def test_method_that_is_none_is_exit_2(make_recipe):
    assert (
        "tuning.kind is 'guessing'; expected one of"
        in run("compare", make_recipe("bad"), "--tuning", "guessing").stderr
    )
    twice = run("compare", make_recipe("bad"), "--tuning", "lora,lora")
    assert (twice.exit_code, "one is there twice" in twice.stderr) == (2, True)
