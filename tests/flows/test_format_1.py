"""A bucket that the code of before keys' FORMAT 2 has made: all of its models stay readable. Alone: pytest tests/flows/test_format_1.py.

`format_1.tar.xz` holds what commit c558c7c made of the recipe below: `tiny`, promoted twice and rolled back to
4064cc9ccf8d, with a LoRA version and one that was refused; `asked`, with one approved proposal and one that waits.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.settings import Settings
from tasks.services.local.object_store import open_store
from tasks.services.registry.log import read_log
from tests.flows.command import last_json, run

FIRST, SECOND = "4064cc9ccf8d", "5c765d25adec"
GATE = {
    "at_least": 0.7,
    "non_inferiority_margin": 0.2,
    "guard_rails": ["commonest"],
    "slices": {"margin": 0.4},
    "resamples": 1000,
}


@pytest.fixture(scope="module", autouse=True)
def bucket(store) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGATE_BUCKET", "format-1")
        old = open_store(Settings())
        with tarfile.open(Path(__file__).with_name("format_1.tar.xz")) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                old.create(member.name, file.read())
        yield


def test_models_and_their_histories_are_listed():
    models = {found["model"]: found for found in last_json(run("models", "--json"))["models"]}
    events = last_json(run("history", "tiny", "--json"))["events"]

    assert {name: found["aliases"]["champion"][:12] for name, found in models.items()} == {
        "asked": "97fb92aa9bbc",
        "tiny": FIRST,
    }
    assert [(event["kind"], event["to_version"][:12]) for event in events] == [
        ("bootstrap", FIRST),
        ("promote", SECOND),
        ("rollback", FIRST),
    ]
    assert len(last_json(run("models", "tiny", "--json"))["versions"]) == 4


@pytest.mark.parametrize("version", [FIRST, SECOND, "67a22f8ab3bd", "6dc726c5236f"])
def test_every_version_is_verified(version: str):
    assert run("verify", f"tiny@{version}").exit_code == 0


def test_whole_models_are_verified():
    assert run("verify", "tiny").exit_code == 0
    assert run("verify", "asked").exit_code == 0


@pytest.mark.parametrize(
    ("text", "label", "probability"),
    [
        ("the lovely fresh room was kind", "great", 0.9821476936340332),
        ("awful broken train", "bad", 0.991463840007782),
        ("plain usual bread", "fine", 0.9849259257316589),
    ],
)
def test_champion_predicts_as_it_did(text: str, label: str, probability: float):
    (found,) = last_json(run("predict", "tiny@champion", text, "--json"))["predictions"]

    assert found["label"] == label
    assert found["probabilities"][label] == pytest.approx(probability, abs=1e-5)


def test_small_artefact_of_lora_still_loads():
    (found,) = last_json(run("predict", "tiny@6dc726c5236f", "awful broken train", "--json"))["predictions"]

    assert found["label"] == "bad"


def test_plan_says_that_each_step_runs_once_more(make_recipe):
    result = run("plan", make_recipe("tiny", gate=GATE), "--json")

    assert result.exit_code == 0
    assert last_json(result)["steps"][0] == {
        "name": "ingest",
        "state": "miss",
        "changed": ["keys of format 1 are an earlier tunegate's: each step runs once more"],
    }


@pytest.mark.usefixtures("prefect_engine")
def test_retrain_gates_against_the_old_champion_and_its_earlier_ones(make_recipe):
    result = run("run", make_recipe("tiny", gate=GATE), "--json", "--no-promote")
    outcome = last_json(result)

    assert result.exit_code in (0, 1, 3), result.stderr
    assert outcome["against"] == f"tiny@{FIRST}"
    assert {"evaluate-champion", f"evaluate-{SECOND}", "gate"} <= {step["name"] for step in outcome["steps"]}
    # Both recipes have the same test rows: six verdicts of before, and the new one.
    assert outcome["verdicts_on_rows"] == 7


@pytest.mark.usefixtures("prefect_engine")
def test_waiting_proposal_is_refused_with_the_reason_and_its_version_is_promoted_and_rolled_back():
    approved = run("approve", "asked", "6469e31b06b2", "--reason", "later")
    promoted = run("promote", "asked", "6469e31b06b2", "--override", "--reason", "later")
    back = run("rollback", "asked", "--to", "97fb92aa9bbc", "--reason", "not this one")

    assert approved.exit_code == 5
    assert "an earlier tunegate wrote it" in approved.stderr
    assert (promoted.exit_code, back.exit_code) == (0, 0), promoted.stderr + back.stderr
    events = read_log(open_store(Settings()), "asked").events
    assert [event.kind for event in events] == ["bootstrap", "override", "rollback"]
    assert run("verify", "asked").exit_code == 0
