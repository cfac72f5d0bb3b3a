"""The command line end to end on a tiny model: real S3, real Prefect. Alone: pytest tests/flows/commands/test_app.py."""

import json
from pathlib import Path

import pytest

from tasks.services.registry.log import read_log
from tasks.services.registry.versions import read_manifest
from tasks.services.storage.store import file_digest
from tests.conftest import LABELS, make_rows, make_unanswerable_rows, write_csv
from tests.flows.command import last_json, run

pytestmark = pytest.mark.usefixtures("prefect_engine")


def states(outcome) -> dict[str, str]:
    return {step["name"]: step["state"] for step in outcome["steps"]}


def test_first_run_promotes_and_second_computes_nothing(make_recipe, store):
    recipe = make_recipe("first", rows_seed=11)

    first = run("run", recipe, "--json")
    second = run("run", recipe, "--json")

    assert first.exit_code == 0, first.stderr
    assert last_json(first)["outcome"] == "promoted"
    assert set(states(last_json(first)).values()) == {"ran"}
    # What the run computed itself needs no second computation before it is promoted.
    assert [name for name in states(last_json(first)) if name.endswith("-again")] == []
    assert Path(last_json(first)["report"]).is_file()
    assert second.exit_code == 0
    assert last_json(second)["outcome"] == "unchanged"
    assert set(states(last_json(second)).values()) == {"cached", "unchanged"}
    assert len(read_log(store, "first").events) == 1
    assert read_log(store, "first").events[0].kind == "bootstrap"


def test_worse_candidate_is_refused_and_champion_stays(make_recipe, store):
    recipe = make_recipe("worse")
    champion = last_json(run("run", recipe, "--json"))["model"]["version"]

    result = run("run", recipe, "--json", "--set", "data.train.fraction=0.15", "--set", "training.learning_rate=1e-6")

    assert result.exit_code == 1
    verdict = last_json(result)["verdict"]
    assert verdict["decision"] == "refuse"
    assert {rule["name"]: rule["decision"] for rule in verdict["rules"]} == {
        "floor": "refuse",
        "non-inferiority": "refuse",
    }
    assert last_json(result)["scores"]["champion"]["accuracy"] > last_json(result)["scores"]["candidate"]["accuracy"]
    assert read_log(store, "worse").aliases == {"champion": champion}


def test_candidate_as_good_is_promoted_over_champion_and_then_unchanged(make_recipe, store):
    recipe = make_recipe("better", gate={"at_least": 0.5, "non_inferiority_margin": 0.2})
    first = last_json(run("run", recipe, "--json"))["model"]["version"]

    result = run("run", recipe, "--json", "--set", "training.seeds=[1]")
    again = run("run", recipe, "--json", "--set", "training.seeds=[1]")

    assert result.exit_code == 0, result.stderr
    event = read_log(store, "better").events[-1]
    assert (event.kind, event.from_version, event.to_version) == (
        "promote",
        first,
        last_json(result)["model"]["version"],
    )
    assert set(states(last_json(again)).values()) == {"cached", "unchanged"}


def test_too_few_rows_to_tell_is_undecidable_and_names_how_many(make_recipe):
    recipe = make_recipe("unclear", gate={"at_least": 0, "non_inferiority_margin": 0.001})
    write_csv(recipe.parent / "test.csv", make_rows(255, seed=2)[240:] + make_unanswerable_rows(15, seed=3))
    assert run("run", recipe).exit_code == 0

    result = run("run", recipe, "--json", "--set", "training.seeds=[1]")

    assert result.exit_code == 3, result.stderr
    assert last_json(result)["outcome"] == "undecidable"
    assert last_json(result)["verdict"]["rows_needed"] > 30


def test_no_promote_judges_and_leaves_the_alias(make_recipe, store):
    result = run("run", make_recipe("careful"), "--no-promote", "--json")

    assert result.exit_code == 0
    assert last_json(result)["outcome"] == "passed"
    assert states(last_json(result))["promote"] == "skipped"
    assert read_log(store, "careful").aliases == {}


def test_cached_steps_cost_nothing_and_tell_what_they_saved(make_recipe, monkeypatch):
    monkeypatch.setenv("TUNEGATE_PRICE_PER_HOUR", "36 EUR")
    recipe = make_recipe("costly", training={"epochs": 7, "batch_size": 16, "seeds": [31]})
    first = last_json(run("run", recipe, "--json", "--no-promote"))
    second = last_json(run("run", recipe, "--json", "--no-promote"))

    ran = sum(step["seconds"] for step in first["steps"] if step["state"] == "ran")
    assert first["cost"]["seconds"] == pytest.approx(ran)
    assert first["cost"]["money"] == pytest.approx(ran / 100)
    assert first["cost"]["cpu_seconds"] > 0.5
    assert (first["cost"]["saved_seconds"], second["cost"]["seconds"], second["cost"]["money"]) == (0, 0, 0)
    train = next(step for step in first["steps"] if step["name"] == "train")
    assert 0 < second["cost"]["saved_seconds"] < train["seconds"]


def test_people_get_steps_verdict_and_report(make_recipe):
    result = run("run", make_recipe("readable", rows_seed=21))

    assert ["train", "ran"] in [line.split()[:2] for line in result.stdout.splitlines()]
    assert "Promoted: the candidate has shown what the gate asks for." in result.stdout
    assert "report.html" in result.stdout


@pytest.mark.slow
def test_promoted_model_answers_and_is_listed(make_recipe):
    version = last_json(run("run", make_recipe("answers"), "--json"))["model"]["version"]

    predicted = last_json(
        run("predict", "answers@champion", "a lovely warm meal", "rude staff and cold bread", "--json")
    )

    assert [found["label"] for found in predicted["predictions"]] == ["great", "bad"]
    assert sum(predicted["predictions"][0]["probabilities"].values()) == pytest.approx(1)
    assert run("predict", f"answers@{version[:10]}", "a lovely warm meal").stdout.startswith("great")
    assert f"answers          champion  {version[:12]}".split() in [
        line.split() for line in run("models").stdout.splitlines()
    ]
    assert version[:12] in run("models", "answers").stdout
    assert "bootstrap" in run("history", "answers").stdout


def test_small_artefact_is_promoted_with_the_bases_bytes_answers_and_is_no_base(make_recipe, tiny_model, store):
    parts = {"tuning": {"kind": "lora"}, "gate": {"at_least": 0.4, "non_inferiority_margin": 0.05}}
    version = last_json(run("run", make_recipe("small", **parts), "--json"))["model"]["version"]
    files = read_manifest(store, "small", version).files
    predicted = run("predict", "small@champion", "a lovely warm meal")
    refused = run("run", make_recipe("grandchild", model={"base": "small@champion", "licences": ["mit"]}))

    assert files["model.safetensors"].digest == file_digest(tiny_model / "model.safetensors")
    assert {"trained.safetensors", "tuning.json", "config.json", "tokenizer.json"} < set(files)
    assert predicted.exit_code == 0
    assert predicted.stdout.split()[0] in LABELS
    assert refused.exit_code == 2
    assert "tuning.merge: true" in refused.stderr


def test_predict_reads_a_file_and_writes_json_lines(make_recipe, tmp_path):
    run("run", make_recipe("batch"))
    (tmp_path / "in.txt").write_text("a lovely warm meal\n\nplain grey room\n")

    result = run("predict", "batch@champion", "--file", tmp_path / "in.txt", "--out", tmp_path / "out.jsonl")

    assert result.exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["text"] for line in lines] == ["a lovely warm meal", "", "plain grey room"]
    assert [lines[0]["label"], lines[2]["label"]] == ["great", "fine"]


@pytest.mark.slow
def test_version_of_the_registry_is_a_base(make_recipe):
    run("run", make_recipe("parent"))

    result = run("run", make_recipe("child", model={"base": "parent@champion", "licences": ["mit"]}), "--json")

    assert result.exit_code == 0, result.stderr
    assert last_json(result)["outcome"] == "promoted"


def test_champion_that_moves_after_the_gate_is_compared_again(make_recipe, store, monkeypatch):
    from flows.chain import promotion
    from schemas.errors import Conflict

    recipe = make_recipe("race", gate={"at_least": 0.1, "non_inferiority_margin": 0.95})
    run("run", recipe)
    rounds = []
    make_event = promotion.make_event

    def lose_once(*arguments):
        rounds.append(arguments)
        if len(rounds) == 1:
            run("run", recipe, "--set", "training.seeds=[7]")
        return make_event(*arguments)

    monkeypatch.setattr(promotion, "make_event", lose_once)
    result = run("run", recipe, "--json", "--set", "training.seeds=[8]")

    assert result.exit_code == 0, result.stderr
    log = read_log(store, "race")
    assert [event.sequence for event in log.events] == [1, 2, 3]
    assert log.events[2].from_version == log.events[1].to_version
    assert Conflict.exit_code == 5
