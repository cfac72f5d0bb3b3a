"""Several seeds: each trains, validation rows choose. Alone: pytest tests/flows/chain/test_seeds.py."""

import json

import pytest

from flows.chain.train import compare_seeds, steps_of
from schemas.recipe.loading import load_recipe
from schemas.records.references import ScoresRef
from tests.flows.command import last_json, run


def make_scores(value: float, constant: float = 0.4) -> ScoresRef:
    return ScoresRef(
        digest="0" * 64,
        size_bytes=1,
        num_rows=9,
        scores={"accuracy": value},
        intervals={},
        constant={"accuracy": constant},
        confusion=(),
        labels=("a", "b"),
    )


def test_spread_and_degenerate_runs_are_told_and_the_best_is_chosen():
    found = compare_seeds("accuracy", [3, 5, 8, 9], [make_scores(value) for value in (0.7, 0.9, 0.4, 0.9)])

    assert found.chosen == 5
    assert found.mean == pytest.approx(0.725)
    assert found.standard_deviation == pytest.approx(0.2363, abs=1e-4)
    assert found.degenerate_share == 0.25
    assert "0.725 (sd 0.236) over 4 seeds, 25% of the runs degenerate; the candidate is seed 5's" in found.sentence


def test_degenerate_runs_are_not_told_where_no_answer_is_the_commonest():
    scores = [make_scores(value).model_copy(update={"constant": {}}) for value in (0.0, 0.5)]
    found = compare_seeds("accuracy", [1, 2], scores)

    assert found.degenerate_share is None
    assert "degenerate" not in found.sentence
    assert json.loads(found.model_dump_json())["chosen"] == 2


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_engine")
def test_each_seed_trains_once_and_the_best_on_validation_rows_is_judged(make_recipe):
    recipe = make_recipe("seeds", rows_seed=71)
    one = last_json(run("run", recipe, "--json", "--set", "training.seeds=[1]", "--no-promote"))
    found = last_json(run("run", recipe, "--json", "--set", "training.seeds=[1, 2]"))
    states = {step["name"]: step["state"] for step in found["steps"]}
    scores = {run["seed"]: run["score"] for run in found["seeds"]["runs"]}

    assert one["seeds"] is None
    # The seed that was trained before is not trained again.
    assert (states["train-seed-1"], states["train-seed-2"]) == ("cached", "ran")
    assert found["seeds"]["mean"] == pytest.approx(sum(scores.values()) / 2)
    assert (found["model"]["version"] == one["model"]["version"]) == (scores[1] >= scores[2])
    loaded = load_recipe(recipe, ("training.seeds=[1, 2]",))
    assert [name for name in states if name in steps_of(loaded)] == list(steps_of(loaded))
    planned = last_json(run("plan", recipe, "--json", "--set", "training.seeds=[1, 2]"))
    assert {step["state"] for step in planned["steps"]} == {"hit"}


def test_seed_that_is_named_twice_is_exit_2(make_recipe):
    result = run("run", make_recipe("twice"), "--set", "training.seeds=[1, 1]")

    assert result.exit_code == 2
    assert "training.seeds is [1, 1]; a seed that is named twice would give the same model twice" in result.stderr
