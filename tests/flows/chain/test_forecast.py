"""What `tunegate plan` foretells, against what then runs. Alone: pytest tests/flows/chain/test_forecast.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.chain.forecast import describe_changes
from tasks.services.cache.keys import Key
from tasks.services.registry.log import read_log
from tests.conftest import make_rows, write_csv
from tests.flows.command import last_json, run

KEY = Key(
    step="train", salt=0, code="a", env={"torch": "2.13.0"}, params={"training": {"epochs": 2}}, inputs={"rows": "1"}
)


@pytest.fixture(scope="module")
def recipe(prefect_engine, make_module_recipe) -> Path:
    path = make_module_recipe("planned", rows_seed=51)
    assert run("run", path).exit_code == 0
    return path


def plan(recipe: Path, *overrides: str) -> dict[str, Any]:
    result = run("plan", recipe, "--json", *(part for override in overrides for part in ("--set", override)))
    assert result.exit_code == 0, result.stderr
    return {step["name"]: step for step in last_json(result)["steps"]}


def states(steps: dict[str, Any]) -> dict[str, str]:
    return {name: step["state"] for name, step in steps.items()}


def test_recipe_that_ran_is_all_hits(recipe: Path):
    assert set(states(plan(recipe)).values()) == {"hit"}


@pytest.mark.parametrize(
    ("override", "first_miss", "changed"),
    [
        ("training.learning_rate=0.003", "train", "training.learning_rate 0.006 -> 0.003"),
        ("augmentation.0.fraction=0.2", "augment", "augmenters without {'fraction': 0.1"),
        ("contract.rows.min=11", "validate", "contract.rows.min 10 -> 11"),
        ("data.split.seed=5", "split", "split.seed 0 -> 5"),
        ("evaluation.metrics=[accuracy, macro_f1]", "evaluate", "evaluation.metrics without precision, without recall"),
    ],
)
def test_changed_field_misses_in_the_step_that_reads_it_and_says_so(recipe, override, first_miss, changed):
    steps = plan(recipe, override)
    names = list(steps)
    place = names.index(first_miss)

    assert {steps[name]["state"] for name in names[:place]} <= {"hit"}
    assert steps[first_miss]["state"] == "miss"
    assert changed in "; ".join(steps[first_miss]["changed"])
    assert {steps[name]["state"] for name in names[place + 1 :]} <= {"pending"}


def test_changed_data_row_misses_in_ingestion(recipe: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "base").symlink_to(recipe.parent / "base")
    rows = make_rows(240, seed=51)
    write_csv(other / "train.csv", [{**rows[0], "text": "changed"}, *rows[1:]])
    (other / "test.csv").write_bytes((recipe.parent / "test.csv").read_bytes())
    (other / "planned.yaml").write_text(recipe.read_text())

    steps = plan(other / "planned.yaml")

    assert steps["ingest"] == {"name": "ingest", "state": "miss", "changed": ["content of train_files"]}
    assert set(states(steps).values()) == {"miss", "pending"}


@pytest.mark.usefixtures("store")
def test_data_that_would_be_refused_are_no_hits_to_the_end(make_recipe):
    recipe = make_recipe("plan-refused", rows_seed=71)
    overrides = ("contract.rows.min=1000",)
    assert run("run", recipe, "--set", overrides[0]).exit_code == 4

    steps = plan(recipe, *overrides)

    assert steps["validate"]["state"] == "hit"
    assert (steps["train"]["state"], steps["train"]["changed"]) == ("pending", ["the run ends before it"])


def test_field_that_no_step_reads_changes_nothing(recipe: Path):
    assert set(states(plan(recipe, "tracking.project=elsewhere")).values()) == {"hit"}


@pytest.mark.usefixtures("store")
def test_recipe_that_never_ran_says_so(make_recipe):
    steps = plan(make_recipe("never-ran", rows_seed=61))

    assert steps["ingest"]["changed"] == ["it never ran for this recipe"]


def test_seed_that_was_trained_is_a_hit_after_one_that_was_not(recipe: Path):
    steps = states(plan(recipe, "training.seeds=[4, 0, 5]"))

    assert [steps[f"train-seed-{seed}"] for seed in (4, 0, 5)] == ["miss", "hit", "miss"]
    assert steps["score-seed-0"] == "pending"


def test_planning_changes_nothing(recipe: Path, store):
    before = {key: store.digest(key) for key in store.list_keys("")}, read_log(store, "planned")
    plan(recipe, "training.seeds=[4]")

    assert ({key: store.digest(key) for key in store.list_keys("")}, read_log(store, "planned")) == before


def test_run_that_would_not_promote_can_be_planned(recipe: Path):
    against = ("--set", "gate.against=champion", "--set", "promotion.alias=other")

    assert "run with --no-promote" in run("plan", recipe, *against).stderr
    assert run("plan", recipe, "--no-promote", *against).exit_code == 0


def test_list_tells_what_it_lost_and_gained():
    labels = [f"label-{number}" for number in range(20)]
    old, new = (KEY.model_copy(update={"params": {"labels": found}}) for found in (labels, [*labels[1:], "more"]))

    assert describe_changes(old, new) == ("labels without label-0, with more",)
    assert describe_changes(old, KEY.model_copy(update={"params": {"labels": labels[::-1]}})) == (
        "labels in another order",
    )


def test_people_get_a_table(recipe: Path):
    printed = run("plan", recipe, "--set", "training.epochs=3").stdout

    assert "training.epochs 5 -> 3" in " ".join(printed.split())


def test_store_that_is_silent_is_exit_5_and_no_plan(recipe: Path, monkeypatch):
    from tasks.services.local import object_store

    monkeypatch.setenv("TUNEGATE_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    result = run("plan", recipe, "--json")
    object_store.open_store.cache_clear()

    assert result.exit_code == 5
    assert "did not answer" in result.stderr


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"code": "b"}, "code"),
        ({"salt": 1}, "salt 0 -> 1"),
        ({"env": {"torch": "2.14.0"}}, "torch 2.13.0 -> 2.14.0"),
        ({"env": {}}, "torch 2.13.0 -> none"),
        ({"inputs": {"rows": "2"}}, "content of rows"),
        ({"format": 3}, "keys of format 2 are an earlier tunegate's: each step runs once more"),
        ({"params": {"training": {"epochs": 2, "loss": "focal"}}}, "training.loss none -> focal"),
        ({}, "its record, or a blob that it names, is missing"),
    ],
)
def test_every_part_of_a_key_has_its_words(change: dict[str, Any], expected: str):
    assert describe_changes(KEY, KEY.model_copy(update=change)) == (expected,)
    assert json.loads(KEY.model_dump_json())["step"] == "train"
