"""A candidate that waits for a person, from the run to the alias. Alone: pytest tests/flows/commands/test_approval.py."""

import pytest

from schemas.settings import Settings
from tasks.services.local.object_store import open_store
from tasks.services.registry.log import read_log
from tasks.services.registry.proposals import list_standings
from tests.flows.command import last_json, run

pytestmark = pytest.mark.usefixtures("prefect_engine")
EASY = {"at_least": 0.5, "non_inferiority_margin": 0.5}


def make(make_recipe, name: str):
    return make_recipe(name, rows_seed=101, gate=EASY, promotion={"model": name, "approval": True})


def test_passing_candidate_waits_until_it_is_approved(make_recipe):
    recipe = make(make_recipe, "waits")
    first = run("run", recipe)
    again = run("run", recipe, "--json")
    found = last_json(again)
    version, (standing,) = found["model"]["version"], list_standings(open_store(Settings()), "waits")
    command = f"tunegate approve waits {version[:12]}"

    assert (first.exit_code, again.exit_code) == (0, 0), first.stderr
    assert "verdict  Proposed: " in first.stdout
    assert command in first.stdout
    assert found["outcome"] == "proposed"
    assert [step["name"] for step in found["steps"]][-1] == "propose"
    assert "it is not proposed again" in again.stderr
    assert read_log(open_store(Settings()), "waits").events == ()
    listed = run("proposals", "waits").stdout
    assert (command in listed, "waiting" in listed) == (True, True)

    approved = run(*command.split()[1:], "--reason", "seen")
    (event,) = read_log(open_store(Settings()), "waits").events
    assert approved.exit_code == 0, approved.stderr
    assert (event.kind, event.to_version, event.proposal_sha256) == ("bootstrap", version, standing.proposal.sha256)
    assert event.reason.startswith("seen; ")
    assert f"no version -> {version[:12]}; verifying and loading" in approved.stderr

    twice = run(*command.split()[1:])
    assert (twice.exit_code, f"names {version[:12]} already" in twice.stderr) == (2, True), twice.stderr


@pytest.mark.slow
def test_rejected_candidate_stays_so_and_a_refused_one_is_not_proposed(make_recipe, tmp_path):
    version = last_json(run("run", make(make_recipe, "vetoed"), "--json"))["model"]["version"]
    dry = run("approve", "vetoed", version[:12], "--dry-run")
    assert (dry.exit_code, "would name" in dry.stdout) == (0, True), dry.stderr
    assert [one.state for one in list_standings(open_store(Settings()), "vetoed")] == ["waiting"]

    unsaid = run("reject", "vetoed", version, "--reason", " ")
    rejected = run("reject", "vetoed", version[:12], "--reason", "rude at night")
    again = run("run", make(make_recipe, "vetoed"), "--out", tmp_path / "out")
    approved = run("approve", "vetoed", version)

    assert (unsaid.exit_code, rejected.exit_code, again.exit_code, approved.exit_code) == (2, 0, 1, 5), again.stderr
    assert "verdict  Rejected: " in again.stdout
    assert "rude at night" in again.stdout
    assert "rude at night" in approved.stderr
    assert "rude at night" in (tmp_path / "out" / "gate.md").read_text()

    untrained = ("--set", "training.epochs=1", "--set", "training.learning_rate=1e-7")
    refused = run("run", make(make_recipe, "failed"), "--json", *untrained)
    assert (refused.exit_code, last_json(refused)["outcome"]) == (1, "refused")
    assert list_standings(open_store(Settings()), "failed") == []
    assert run("approve", "failed", last_json(refused)["model"]["version"]).exit_code == 2


@pytest.mark.slow
def test_damaged_candidate_is_not_approved(make_recipe):
    from tasks.services.registry.versions import read_manifest
    from tasks.services.storage.store import blob_key

    version = last_json(run("run", make(make_recipe, "damaged"), "--json"))["model"]["version"]
    store = open_store(Settings())
    key = blob_key(read_manifest(store, "damaged", version).files["model.safetensors"].digest)
    content = store.read(key)
    store.replace(key, content[:-1] + bytes([content[-1] ^ 1]))
    found = run("approve", "damaged", version)
    store.replace(key, content)

    assert (found.exit_code, key in found.stderr) == (5, True)
    assert [one.state for one in list_standings(store, "damaged")] == ["waiting"]
