"""What the worker of a local stack ends, and who is told: a real server, a real worker, a real receiver of messages.

Alone: pytest tests/integration/test_limits_and_notices.py -m slow
"""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed, Running

from tests.integration.stack import Stack, ended, local_stack, look, run_deployment, start, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
QUIET_SECONDS = 6
NOTICES = {
    "tunegate-notify-failed",
    "tunegate-notify-crashed",
    "tunegate-notify-unbegun",
    "tunegate-notify-crashing",
    "tunegate-notify-watch",
    "tunegate-notify-verdicts",
}


class Receiver:
    """Takes what is posted to it."""

    def __init__(self) -> None:
        texts = self.texts = list[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                texts.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["text"])
                self.send_response(200)
                self.end_headers()

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def about(self, run: FlowRun) -> list[str]:
        return [text for text in self.texts if str(run.id) in text]

    def end(self) -> None:
        self._server.shutdown()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.end()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, receiver: Receiver) -> Iterator[Stack]:
    with local_stack(tmp_path_factory.mktemp("stack"), tiny_model, TUNEGATE_NOTIFY=receiver.address) as made:
        yield made


@pytest.fixture
def client(stack: Stack) -> Iterator[SyncPrefectClient]:
    with stack.client() as made:
        yield made


def deploy(client: SyncPrefectClient, name: str) -> None:
    """A deployment of a flow of tests/integration/limited.py, beside the shipped ones."""
    client.create_deployment(
        client.create_flow_from_name(name),
        name,
        entrypoint=f"tests/integration/limited.py:{name}",
        work_pool_name="tunegate",
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}],
        tags=["tunegate", "retrain"],
    )


def told(receiver: Receiver, run: FlowRun) -> str:
    """The one message about a run; Prefect's server answers an event again where SQLite was locked meanwhile."""
    until(lambda: receiver.about(run), 30)
    time.sleep(QUIET_SECONDS)
    (text,) = set(receiver.about(run))
    return text


def crash(client: SyncPrefectClient, name: str, **parameters: Any) -> FlowRun:
    run = start(client, name, **parameters)
    client.set_flow_run_state(run.id, Running(), force=True)
    client.set_flow_run_state(run.id, Crashed(message="Its machine is gone."), force=True)
    return run


def test_failed_run_is_told_with_its_name_message_and_link(client, receiver):
    run = run_deployment(client, "retrain/weekly", request={"whole_recipe": "name: broken"})
    text = told(receiver, run)
    link = text.splitlines()[-1]

    assert run.state.is_failed()
    assert text.startswith("tunegate: retrain tweets/full, whole recipe: Failed\n")
    assert "RecipeError" in text
    assert link.endswith(f"/runs/flow-run/{run.id}")
    assert httpx.get(link, headers={"accept": "text/html"}).status_code == 200


def test_refusal_is_told_with_its_reason(client, receiver):
    run = run_deployment(
        client, "retrain/weekly", request={"recipe": "tweets/full", "learning_rate": 1e-6, "epochs": 1}
    )
    text = told(receiver, run)

    assert run.state.name == "Refused", run.state.message
    assert text.startswith("tunegate: retrain tweets/full, training.epochs=1, training.learning_rate=1e-06: Refused\n")
    assert "macro_f1" in text


def test_crash_of_a_retraining_is_started_again_and_told_to_nobody(client, receiver):
    run = crash(client, "retrain/weekly", request={"recipe": "tweets/full", "seed": 3})
    done = until(lambda: ended(client, run.id) if client.read_flow_run(run.id).state.is_completed() else None)
    time.sleep(QUIET_SECONDS)

    assert done.state.name == "Promoted", done.state.message
    assert receiver.about(run) == []


def test_crash_of_what_is_not_started_again_is_told(client, receiver):
    text = told(receiver, crash(client, "judge/gate"))

    assert ": Crashed\nIts machine is gone.\n" in text


def test_watch_that_fails_again_and_again_is_told_once(client, receiver):
    first = look(client, "tweets/none")
    second = look(client, "tweets/none")

    assert (first.state.is_failed(), second.state.is_failed()) == (True, True)
    assert "tweets/none" in told(receiver, first)
    assert receiver.about(second) == []


def test_step_that_hangs_under_the_worker_fails_the_run(client, receiver):
    deploy(client, "hang")
    run = run_deployment(client, "hang/hang")

    assert (run.state.type.value, run.run_count) == ("FAILED", 1), run.state
    assert "TimeLimit: hang: no attempt of 3 ended within 0:00:02" in run.state.message
    assert "TimeLimit" in told(receiver, run)


def test_step_that_takes_too_much_memory_under_the_worker_fails_the_run(client, receiver):
    deploy(client, "hoard")
    run = run_deployment(client, "hoard/hoard")

    assert (run.state.type.value, run.run_count) == ("FAILED", 1), run.state
    assert "MemoryLimit: hoard: the run's processes held" in run.state.message
    assert "TUNEGATE_MEMORY_GB" in told(receiver, run)


def test_shipped_flow_under_the_worker_knows_the_limit(client):
    deployment = client.read_deployment_by_name("retrain/weekly")
    small = {"env": {"TUNEGATE_MEMORY_GB": "0.1"}}
    run = client.create_flow_run_from_deployment(deployment.id, job_variables=small)
    done = until(lambda: ended(client, run.id))

    assert done.state.is_failed()
    assert "MemoryLimit: " in done.state.message


def test_run_that_was_cut_off_with_the_stack_is_started_again_with_it(stack: Stack, client):
    run = start(client, "retrain/weekly", request={"recipe": "tweets/full", "seed": 4, "epochs": 300})
    until(lambda: any(one.name.startswith("train") for one in client.read_task_runs() if one.flow_run_id == run.id))
    stack.command("down")
    stack.command("up", "--detach")
    done = until(lambda: ended(client, run.id) if client.read_flow_run(run.id).run_count > 1 else None)

    assert (done.state.name, done.run_count) == ("Promoted", 2), done.state.message


def test_deploying_again_does_not_forget_what_automations_wait_for(stack: Stack):
    def updates() -> dict[str, str]:
        login = tuple(stack.login.split(":"))
        found = httpx.post(f"{stack.api}/automations/filter", json={}, auth=login).json()
        return {one["name"]: one["updated"] for one in found}

    before = updates()
    stack.command("deploy")
    assert updates() == before
    assert set(before) > NOTICES


def test_block_that_does_not_exist_is_named_with_those_that_do(stack: Stack):
    said = stack.command("deploy", exit_code=2, TUNEGATE_NOTIFY="slack-webhook/ops")
    secret = stack.command("deploy", exit_code=2, TUNEGATE_NOTIFY="hooks.slack.com/services/T0/B0/secret")

    assert "names 'slack-webhook/ops', which is not a notification block" in said
    assert "it has: custom-webhook/tunegate-1." in said
    assert "/v2/blocks/catalog" in said
    assert "secret" not in secret


def test_named_block_is_told_and_without_the_setting_nobody_is(stack: Stack, client, receiver):
    def notices() -> set[str]:
        return {one.name for one in client.read_automations() if "notify" in one.name}

    stack.command("deploy", TUNEGATE_NOTIFY="custom-webhook/tunegate-1")
    assert notices() == NOTICES
    named = run_deployment(client, "retrain/weekly", request={"whole_recipe": "name: broken"})
    assert "RecipeError" in told(receiver, named)

    stack.command("deploy", TUNEGATE_NOTIFY="")
    assert notices() == set()
    silent = run_deployment(client, "retrain/weekly", request={"whole_recipe": "name: broken"})
    time.sleep(QUIET_SECONDS)
    assert silent.state.is_failed()
    assert receiver.about(silent) == []
