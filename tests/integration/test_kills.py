"""Killed at any point, the same command again finishes the job. Alone: pytest tests/integration/test_kills.py [-m ''] -s

Each point has a bucket and a home of its own on one real S3 server; each killed run is a process of its own.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from tests.flows.command import last_json, run
from tests.integration.conftest import Place, check_all_is_whole
from tests.integration.faulted import KILLS

QUICK = ("half of an upload sent", "training, after the second checkpoint", "train: between blobs and record")
TRAINED_ALREADY = (
    "training ended, model not stored",
    "between two files of the model",
    "train: between blobs and record",
)
STEPS = ("ingest", "validate", "split", "augment", "tokenize", "train", "evaluate", "gate", "report")


@pytest.fixture
def recipe(make_recipe) -> Path:
    return make_recipe("tiny", rows_seed=301)


@pytest.fixture(scope="module")
def straight(prefect_engine, make_module_recipe) -> dict[str, Any]:
    """What a run that nobody disturbs comes to."""
    result = run("run", make_module_recipe("tiny", rows_seed=301), "--json")
    assert result.exit_code == 0, result.stderr
    return last_json(result)


@pytest.fixture(scope="module")
def outcomes(pytestconfig) -> Iterator[list[tuple[str, str]]]:
    """Points and what became of them, shown when the module is done."""
    found: list[tuple[str, str]] = []
    yield found
    with pytestconfig.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print("", *(f"{point:42} {outcome}" for point, outcome in found), sep="\n")


def points() -> list[Any]:
    assert set(QUICK) <= set(KILLS)
    return [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in KILLS]


@pytest.mark.parametrize("point", points())
def test_killed_run_is_finished_by_the_same_command(place: Place, recipe: Path, straight, outcomes, point: str):
    code, _, stderr = place.run_faulted(point, "run", recipe)
    assert code == -signal.SIGKILL, stderr
    finished = place.steps_with_a_record()
    check_all_is_whole(place)

    result = run("run", recipe, "--json")
    assert result.exit_code == 0, result.stderr
    found = last_json(result)
    states = {step["name"]: step["state"] for step in found["steps"]}

    assert found["model"]["version"] == straight["model"]["version"]
    assert {name for name in STEPS if states[name] == "ran"}.isdisjoint(finished)
    check_all_is_whole(place)
    assert [event.to_version for event in place.log().events] == [straight["model"]["version"]]
    assert place.store.list_keys("checkpoints/") == []
    if point == "training, after the second checkpoint":
        assert found["resumed_from_step"] > 0
    if point in TRAINED_ALREADY:
        assert "had been trained here before" in result.stderr
    outcomes.append((point, f"{found['outcome']}, again ran {', '.join(n for n, s in states.items() if s == 'ran')}"))


@pytest.mark.slow
def test_told_to_end_in_training_it_saves_and_the_next_run_goes_on(place: Place, recipe: Path, straight):
    code, _, stderr = place.run_faulted("terminated in training", "run", recipe)
    assert code == 130, stderr
    assert "Interrupted by SIGTERM" in stderr
    assert "Traceback" not in stderr

    found = last_json(run("run", recipe, "--json"))

    assert found["resumed_from_step"] > 0
    assert found["model"]["version"] == straight["model"]["version"]


@pytest.mark.slow
def test_signal_to_the_whole_group_leaves_the_temporary_server_to_be_told(place: Place, recipe: Path, tmp_path: Path):
    slow = recipe.with_name("slow.yaml")
    slow.write_text(recipe.read_text().replace("epochs: 5", "epochs: 200"))
    del place.environment["PREFECT_API_URL"]
    run_in_group = "import os, runpy; os.setpgrp(); os.environ.pop('PREFECT_API_URL', None); runpy.run_module('flows')"
    process = place.start("-c", run_in_group, "run", slow)
    wait_for(lambda: [*tmp_path.glob("home/training/*/attempt-*/checkpoints/checkpoint-*")], "training began")
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    _, stderr = process.communicate(timeout=300)

    assert process.returncode == 130, stderr
    assert "Interrupted: saving" in stderr
    assert "Interrupted by SIGTERM" in stderr
    assert "Traceback" not in stderr
    assert time.monotonic() - begun < 60
    assert place.store.list_keys("checkpoints/") != []


@pytest.mark.slow
def test_two_at_once_train_once(place: Place, recipe: Path, straight):
    processes = [place.start("-m", "flows", "run", recipe, "--json") for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        outputs = list(pool.map(lambda process: process.communicate(timeout=300), processes))

    assert [process.returncode for process in processes] == [0, 0], outputs
    results = [json.loads(stdout.strip().splitlines()[-1]) for stdout, _ in outputs]
    states = [step["state"] for found in results for step in found["steps"] if step["name"] == "train"]
    assert sorted(states) == ["cached", "ran"]
    assert {found["model"]["version"] for found in results} == {straight["model"]["version"]}
    assert len(place.log().events) == 1


@pytest.mark.slow
def test_when_the_one_that_trains_is_killed_the_other_finishes(place: Place, recipe: Path):
    slow = recipe.with_name("slow.yaml")
    slow.write_text(recipe.read_text().replace("epochs: 5", "epochs: 60"))
    processes = {p.pid: p for p in (place.start("-m", "flows", "run", slow, "--json") for _ in range(2))}
    holder = processes.pop(wait_for_holder(place, "train"))
    (other,) = processes.values()
    seen = "".join(iter_until(other.stderr, f"process {holder.pid} on"))
    holder.kill()
    holder.communicate()
    stdout, stderr = other.communicate(timeout=300)
    stderr = seen + stderr

    assert other.returncode == 0, stderr
    assert f"process {holder.pid} is dead: taking over" in stderr
    found = json.loads(stdout.strip().splitlines()[-1])
    assert found["outcome"] == "promoted"


def iter_until(lines: Any, text: str) -> Iterator[str]:
    """Lines up to the one that tells of waiting for training."""
    for line in lines:
        yield line
        if text in line and "train" in line:
            return


def wait_for_holder(place: Place, step: str) -> int:
    def leases() -> list[str]:
        return [key for key in place.store.list_keys(f"leases/{step}/") if key.endswith(".json")]

    (lease,) = wait_for(leases, f"a lease on {step}")
    return json.loads(place.store.read(lease))["process"]["pid"]


def wait_for(look: Callable[[], list[Any]], what: str) -> list[Any]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not seen in two minutes: {what}")


@pytest.mark.slow
def test_store_that_stops_in_training_costs_exit_5_and_no_second_training(recipe: Path, straight, tmp_path: Path):
    environment = {"TUNEGATE_HOME": str(tmp_path / "home"), "PREFECT_API_URL": PREFECT_API_URL.value()}
    place = Place(None, environment)
    code, _, stderr = place.run_faulted("store stopped in training", "run", recipe)
    assert code == 5, stderr
    assert "did not answer" in stderr
    assert "the next command starts it" in stderr
    (model,) = (tmp_path / "home" / "training").glob("*/finished/model/model.safetensors")
    trained_at = model.stat().st_mtime_ns

    try:
        code, stdout, stderr = place.run("-m", "flows", "run", recipe, "--json")
    finally:
        place.run("-m", "flows", "down")

    assert code == 0, stderr
    assert "had been trained here before" in stderr
    assert model.stat().st_mtime_ns == trained_at
    assert json.loads(stdout.strip().splitlines()[-1])["model"]["version"] == straight["model"]["version"]
