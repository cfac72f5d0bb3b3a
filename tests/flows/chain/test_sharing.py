"""Trainings offered to other workers, by a client that plays the server. Alone: pytest tests/flows/chain/test_sharing.py."""

from contextlib import contextmanager
from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Running

from flows.chain import sharing


class Server:
    """What `shared` asks for; from the call on that `fails` names, nothing answers."""

    def __init__(self, status: WorkerStatus = WorkerStatus.ONLINE, fails: str = "") -> None:
        self.status, self.fails, self.is_down = status, fails, False
        self.offered: list[str] = []
        self.states: dict[object, object] = {}

    def _answer(self, call: str) -> None:
        self.is_down = self.is_down or call == self.fails
        if self.is_down:
            raise httpx.ConnectError("nobody listens at http://ops:hidden@host/api")

    def read_workers_for_work_pool(self, name: str) -> list[SimpleNamespace]:
        self._answer("workers")
        if self.fails == "pool":
            raise ObjectNotFound(None)
        return [SimpleNamespace(status=self.status)]

    def read_deployment_by_name(self, name: str) -> SimpleNamespace:
        self._answer("deployment")
        return SimpleNamespace(id=uuid4())

    def create_flow_run_from_deployment(self, number, parameters, idempotency_key) -> SimpleNamespace:
        if self.offered:
            self._answer("second")
        self.offered.append(parameters["request"]["step"])
        made = SimpleNamespace(id=uuid4())
        self.states[made.id] = Running()
        return made

    def read_flow_run(self, number) -> SimpleNamespace:
        self._answer("read")
        return SimpleNamespace(state=self.states[number])

    def set_flow_run_state(self, number, state) -> None:
        self.states[number] = state


class Request(SimpleNamespace):
    def model_dump(self, mode: str) -> dict[str, str]:
        return {"step": self.step}


REQUESTS = [Request(step="b"), Request(step="c")]


def play(monkeypatch, server: Server) -> Server:
    @contextmanager
    def get_client(sync_client: bool):
        yield server

    monkeypatch.setattr(sharing, "get_client", get_client)
    return server


def test_last_one_is_offered_first_and_what_is_not_done_is_called_off(monkeypatch):
    server = play(monkeypatch, Server())
    with sharing.shared(REQUESTS):
        first, second = server.states
        server.states[first] = Completed()

    assert server.offered == ["c", "b"]
    assert [server.states[number].name for number in (first, second)] == ["Completed", "Cancelling"]


@pytest.mark.parametrize("fails", ["", "pool"])
def test_nothing_is_offered_to_nobody(monkeypatch, fails: str):
    server = play(monkeypatch, Server(WorkerStatus.OFFLINE, fails))
    with sharing.shared(REQUESTS):
        pass

    assert server.offered == []


@pytest.mark.parametrize("fails", ["workers", "deployment", "second", "read"])
def test_server_that_does_not_answer_ends_no_training(monkeypatch, fails: str, caplog):
    server, done = play(monkeypatch, Server(fails=fails)), False
    with sharing.shared(REQUESTS):
        done = True

    assert done
    assert "nobody listens at http://***@host/api" in caplog.text
    assert "hidden" not in caplog.text
    assert len(server.offered) == {"second": 1, "read": 2}.get(fails, 0)


def test_error_of_the_training_passes_and_calls_the_others_off(monkeypatch):
    server = play(monkeypatch, Server())
    with pytest.raises(ZeroDivisionError), sharing.shared(REQUESTS):
        raise ZeroDivisionError

    assert {state.name for state in server.states.values()} == {"Cancelling"}
