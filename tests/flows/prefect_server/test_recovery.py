"""Runs that were cut off with the stack, by how far they were. Alone: pytest tests/flows/prefect_server/test_recovery.py."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Cancelling, Crashed, Running

from flows.prefect_server import recovery
from flows.prefect_server.recovery import MESSAGE, recover_runs
from tasks.services.local.supervisor import POOL

pytestmark = pytest.mark.usefixtures("prefect_engine")
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@flow
def cut_off() -> None:
    """Never runs here."""


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as made:
        yield made


def make_run(client: SyncPrefectClient, tag: str, *states: State[Any]) -> FlowRun:
    """A run of a deployment in our work pool that went through some states."""
    with contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    number = client.create_deployment(client.create_flow(cut_off), tag, work_pool_name=POOL, tags=["tunegate", tag])
    run = client.create_flow_run_from_deployment(number, tags=["tunegate", tag])
    for state in states:
        client.set_flow_run_state(run.id, state, force=True)
    return run


@pytest.mark.parametrize(
    ("tag", "states", "expected"),
    [
        ("retrain", [Running()], "Rescheduled"),
        ("gate", [Running()], "Crashed"),
        ("retrain", [Running(), Cancelling()], "Cancelled"),
        ("retrain", [Running(), Crashed(message="missed")], "Rescheduled"),
        # It would not begin the next time either.
        ("retrain", [Crashed(message="before")], "Crashed"),
        ("gate", [Running(), Crashed(message="told")], "Crashed"),
    ],
)
def test_run_without_a_process_goes_on_as_its_kind_and_state_say(client, tag: str, states, expected: str):
    run = make_run(client, tag, *states)
    taken = recover_runs()
    found = client.read_flow_run(run.id).state

    assert found.name == expected
    # What has crashed for good says why in its own words.
    was_final = expected == states[-1].name
    assert (found.message == MESSAGE) == (expected != "Cancelled" and not was_final)
    assert (run.name in taken) == (not was_final)


def test_crash_of_long_ago_is_left_alone(client, monkeypatch):
    run = make_run(client, "retrain", Running(), Crashed(message="long ago"))
    monkeypatch.setattr(recovery, "RECENT", timedelta(0))
    recover_runs()

    assert client.read_flow_run(run.id).state.name == "Crashed"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["-m", "prefect.engine"], "Running"),
        (["--multiprocessing-fork"], "Rescheduled"),
    ],
)
def test_run_is_alive_while_its_own_process_is_and_not_for_what_that_has_left(client, command, expected: str):
    run = make_run(client, "retrain", Running())
    with subprocess.Popen([*SLEEP, *command], env=os.environ | {"PREFECT__FLOW_RUN_ID": str(run.id)}) as process:
        recover_runs()
        process.kill()

    assert client.read_flow_run(run.id).state.name == expected
