"""The local stack as a team would use it: new data, schedules, limits, lost workers, cancelled runs.

A real server, a real worker and the shipped deployments. Alone: pytest tests/integration/test_operations.py -m slow
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.client.schemas.schedules import CronSchedule
from prefect.states import Cancelling

from schemas.settings import Settings
from tasks.services.local.object_store import open_store
from tests.conftest import make_rows, write_csv
from tests.integration.stack import Stack, ended, local_stack, look, start, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LONG = 400
"""Epochs that take about half a minute."""


def retrainings(client: SyncPrefectClient) -> list[FlowRun]:
    deployment = client.read_deployment_by_name("retrain/weekly")
    runs = [run for run in client.read_flow_runs() if run.deployment_id == deployment.id]
    return [run for run in runs if not run.auto_scheduled]


def said(client: SyncPrefectClient, flow_run_id: UUID) -> str:
    ours = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]))
    return "\n".join(line.message for line in client.read_logs(ours, limit=200))


def artifacts_of(client: SyncPrefectClient, flow_run_id: UUID, kind: str) -> list[Artifact]:
    found = client.read_artifacts(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))
    return [artifact for artifact in found if artifact.type == kind]


def processes_of(flow_run_id: UUID) -> list[psutil.Process]:
    """The processes that run a flow run, by what Prefect puts into their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PREFECT__FLOW_RUN_ID") == str(flow_run_id):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Stack]:
    with local_stack(tmp_path_factory.mktemp("stack"), tiny_model) as made:
        yield made


@pytest.fixture
def client(stack: Stack) -> Iterator[SyncPrefectClient]:
    with stack.client() as made:
        yield made


def test_status_tells_what_runs_and_deploying_again_changes_nothing(stack: Stack, client: SyncPrefectClient):
    found = json.loads(stack.command("status", "--json"))
    before = {one.name: one.id for one in client.read_deployments()}
    shown = stack.command("deploy")

    assert found["worker"] == "running"
    assert found["prefect_api"] == f"{found['prefect_ui']}/api"
    assert {one.name: one.id for one in client.read_deployments()} == before
    assert all(f"{found['prefect_ui']}/v2/deployments/deployment/{number}" in shown for number in before.values())


def test_new_file_leads_to_a_retrained_and_gated_model_and_the_same_file_to_nothing(stack: Stack, client):
    first = look(client, "tweets/full")
    write_csv(stack.folder / "recipes" / "tweets" / "incoming" / "second.csv", make_rows(300, seed=77)[240:])
    second = look(client, "tweets/full")
    (retrained,) = until(lambda: retrainings(client))
    done = until(lambda: ended(client, retrained.id))
    third = look(client, "tweets/full")

    assert [run.state.is_completed() for run in (first, second, third)] == [True] * 3
    assert (done.state.name, done.name) == ("Promoted", "tweets/full"), done.state.message
    assert "macro_f1" in done.state.message
    assert "tunegate.data.changed" in stack.command("history", "tiny")
    until(lambda: "tweets/full: nothing new" in said(client, third.id), 30)
    # An automation makes a run, which then waits for the worker, within a second.
    time.sleep(5)
    assert [run.id for run in retrainings(client)] == [retrained.id]
    (progress,) = artifacts_of(client, retrained.id, "progress")
    assert progress.data == 100.0


def test_drift_that_is_posted_as_the_docs_say_leads_to_a_retraining(stack: Stack, client: SyncPrefectClient):
    known = [run.id for run in retrainings(client)]
    (posted,) = re.findall(r"^tunegate (event .*)$", Path("docs/operations.md").read_text(), re.MULTILINE)
    stack.command(*posted.split())
    (made,) = until(lambda: [run for run in retrainings(client) if run.id not in known])
    done = until(lambda: ended(client, made.id))

    assert (done.name, done.parameters["request"]["reason"]) == ("tweets/full", "tunegate.drift.detected")
    assert done.state.is_completed(), done.state.message


def test_event_about_a_recipe_that_no_deployment_offers_is_refused(stack: Stack):
    assert "They offer tweets/full" in stack.command("event", "tweets/ful", exit_code=2)


def test_two_runs_at_once_wait_for_each_other(stack: Stack, client: SyncPrefectClient):
    runs = [start(client, "retrain/weekly", request={"recipe": "tweets/full", "seed": seed}) for seed in (5, 6)]
    first, second = sorted((until(lambda run=run: ended(client, run.id)) for run in runs), key=lambda run: run.end_time)

    assert [run.state.is_completed() for run in (first, second)] == [True, True]
    assert second.start_time >= first.end_time


def test_schedule_fires_at_its_minute(stack: Stack, client: SyncPrefectClient):
    deployment = client.read_deployment_by_name("watch/watch")
    known = {run.id for run in client.read_flow_runs()}
    client.create_deployment_schedules(deployment.id, [(CronSchedule(cron="* * * * *", timezone="UTC"), True)])

    def fired() -> FlowRun | None:
        runs = [run for run in client.read_flow_runs() if run.id not in known and run.deployment_id == deployment.id]
        return next((run for run in runs if run.auto_scheduled and run.state and run.state.is_completed()), None)

    run = until(fired)
    assert run.expected_start_time.second == 0
    assert 0 <= (run.start_time - run.expected_start_time).total_seconds() < 40


def test_worker_and_run_that_are_killed_are_picked_up_and_training_goes_on(stack: Stack, client: SyncPrefectClient):
    begun = time.monotonic()
    run = start(client, "retrain/weekly", request={"recipe": "tweets/full", "seed": 9, "epochs": LONG})
    until(lambda: any(key.endswith(".json") and "/files/" not in key for key in checkpoints_of(stack)))
    for process in (*workers_of(stack), *processes_of(run.id)):
        process.kill()
    killed_at = time.monotonic()
    done = until(lambda: ended(client, run.id) if client.read_flow_run(run.id).run_count > 1 else None, 400)

    print(f"\nkilled after {killed_at - begun:.0f} s, done {time.monotonic() - killed_at:.0f} s later")
    assert done.state.name == "Promoted", done.state.message
    assert "goes on from the checkpoint after step" in said(client, run.id)


def test_cancelled_run_leaves_no_process(stack: Stack, client: SyncPrefectClient):
    run = start(client, "retrain/weekly", request={"recipe": "tweets/full", "seed": 10, "epochs": 1000})
    until(lambda: "train" in said(client, run.id))
    assert processes_of(run.id)
    client.set_flow_run_state(run.id, Cancelling())
    begun = time.monotonic()
    until(lambda: not processes_of(run.id), 10)

    print(f"\nno process left {time.monotonic() - begun:.1f} s after it was cancelled")
    assert until(lambda: ended(client, run.id)).state.is_cancelled()


def test_supervisord_that_is_killed_alone_leaves_a_stack_that_can_be_stopped_and_started(stack: Stack, client):
    left = workers_of(stack)
    (supervisord,) = {process.parent() for process in left}
    supervisord.kill()
    until(lambda: json.loads(stack.command("status", "--json"))["prefect_api"] is None, 10)
    assert all(process.is_running() for process in left)
    stack.command("up", "--detach")

    assert not any(process.is_running() for process in left)
    assert look(client, "tweets/full").state.is_completed()
    ours = workers_of(stack)
    (supervisord,) = {process.parent() for process in ours}
    supervisord.kill()
    assert "the worker were stopped" in stack.command("down")
    assert not any(process.is_running() for process in ours)
    stack.command("up", "--detach")


def workers_of(stack: Stack) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if is_worker(process, stack)]


def is_worker(process: psutil.Process, stack: Stack) -> bool:
    try:
        ours = process.environ().get("TUNEGATE_HOME") == stack.environment["TUNEGATE_HOME"]
        return ours and "worker" in process.cmdline() and "start" in process.cmdline()
    except psutil.Error:
        return False


def checkpoints_of(stack: Stack) -> list[str]:
    home = Path(stack.environment["TUNEGATE_HOME"])
    return open_store(Settings(home=home)).list_keys("checkpoints/")
