"""The Prefect server of a command. Alone: pytest tests/flows/prefect_server/test_connection.py."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows import finetune
from flows.prefect_server.connection import OWNER, _start_detached, end_orphans, reach_server
from schemas.errors import Unavailable
from tasks.services.local.stack import _answers
from tasks.services.process.identity import this_process
from tests.flows.command import run

# What a temporary server looks like from outside.
SERVER = [sys.executable, "-c", "import time; time.sleep(60)", "-m", "uvicorn"]


@pytest.mark.parametrize(
    ("owner_is_dead", "variables", "expected"),
    [
        (True, {}, 1),
        (False, {}, 0),
        (True, {"PREFECT_HOME": "/elsewhere"}, 0),
        (True, {"PREFECT__SERVER_EPHEMERAL": None}, 0),
    ],
)
def test_only_servers_whose_command_is_dead_are_ended(owner_is_dead: bool, variables, expected: int):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    owner = this_process().model_copy(update={"pid": gone.pid} if owner_is_dead else {})
    environment = os.environ | {"PREFECT__SERVER_EPHEMERAL": "1", OWNER: owner.model_dump_json()} | variables
    environment = {name: value for name, value in environment.items() if value is not None}
    with subprocess.Popen(SERVER, env=environment) as server:
        assert end_orphans() == expected
        if expected:
            assert server.wait(10) != 0
        else:
            assert server.poll() is None
        server.kill()


def test_whoever_starts_the_server_knows_its_password(monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "ops:secret")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "")
    monkeypatch.delenv("PREFECT_API_AUTH_STRING")
    run("status")

    assert os.environ["PREFECT_API_AUTH_STRING"] == "ops:secret"


def test_garbage_for_a_database_is_named_before_a_server_is_started(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    (tmp_path / "prefect.db").write_bytes(b"garbage" * 1000)

    with (
        temporary_settings({PREFECT_API_URL: None}),
        pytest.raises(Unavailable, match=f"{tmp_path}/prefect.db: it is not an SQLite database. Move it away"),
    ):
        reach_server()
    assert not (tmp_path / "server.log").exists()


@pytest.mark.heavy
def test_temporary_server_is_apart_and_what_it_says_is_in_a_file(tmp_path, monkeypatch):
    # Importing it takes seconds, which every process of a test session would spend.
    from prefect.server.api.server import SubprocessASGIServer

    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    # uvicorn refuses the port, on standard error.
    process = _start_detached(SubprocessASGIServer(port="none"))
    session = os.getsid(process.pid)
    process.wait(30)

    assert session == process.pid
    assert "'--port'" in (tmp_path / "server.log").read_text()


class AsksForAPassword(BaseHTTPRequestHandler):
    """Prefect's server with an auth string: only its health is told to anybody."""

    def do_GET(self) -> None:
        is_public = self.path.endswith("/health")
        body = b"true" if is_public else b'{"exception_message": "Unauthorized"}'
        self.send_response(200 if is_public else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_server_that_asks_for_another_password_is_told_with_what_to_set():
    with ThreadingHTTPServer(("127.0.0.1", 0), AsksForAPassword) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        api = f"http://127.0.0.1:{server.server_port}/api"
        with (
            temporary_settings({PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: "admin:hidden"}),
            pytest.raises(
                Unavailable, match="answered 401. It requires NAME:PASSWORD: set PREFECT_API_AUTH_STRING."
            ) as refused,
        ):
            reach_server()
        server.shutdown()
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", "127.0.0.1,localhost"), ("corp.example,localhost", "corp.example,localhost,127.0.0.1"), ("*", "*")],
)
def test_no_proxy_stands_before_the_servers_of_this_machine(monkeypatch, given: str, expected: str):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", given)
    # Nobody listens there.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with ThreadingHTTPServer(("127.0.0.1", 0), AsksForAPassword) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        run("schema")

        assert _answers(f"http://127.0.0.1:{server.server_port}/api")
        server.shutdown()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == expected


class Page(AsksForAPassword):
    """Something else that listens where Prefect's API was expected."""

    def do_GET(self) -> None:
        page = b"<html>Hello</html>"
        self.send_response(200)
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


class Missing(AsksForAPassword):
    """A server that knows no such address."""

    def do_GET(self) -> None:
        self.send_error(404)


def test_password_in_the_address_is_not_repeated_where_the_api_is_not_found():
    with ThreadingHTTPServer(("127.0.0.1", 0), Missing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        api = f"http://ops:hidden@127.0.0.1:{server.server_port}/wrong"
        with temporary_settings({PREFECT_API_URL: api}), pytest.raises(Unavailable) as told:
            reach_server()
        server.shutdown()
    assert "hidden" not in str(told.value)


def test_page_in_the_place_of_the_api_is_told():
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        api = f"http://127.0.0.1:{server.server_port}/"
        with (
            temporary_settings({PREFECT_API_URL: api}),
            pytest.raises(Unavailable, match="Check PREFECT_API_URL, which ends in /api"),
        ):
            reach_server()
        server.shutdown()


@pytest.mark.usefixtures("prefect_engine")
def test_server_that_fails_in_the_middle_is_exit_5_and_its_log_says_why(make_recipe, monkeypatch):
    def fail(*_: object) -> None:
        request = httpx.Request("POST", "http://127.0.0.1:4200/api/flow_runs/")
        raise PrefectHTTPStatusError("no space left", request=request, response=httpx.Response(500, request=request))

    monkeypatch.setattr(finetune, "run", fail)
    result = run("run", make_recipe("failing-server"))

    assert result.exit_code == 5
    assert "answered 500. Its log says why." in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("prefect_engine")
def test_server_that_stops_answering_is_exit_5_with_what_to_do(make_recipe, monkeypatch):
    def lose(*_: object) -> None:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(finetune, "run", lose)
    result = run("run", make_recipe("lost-server"))

    assert result.exit_code == 5
    assert "stopped answering: refused. Run again" in result.stderr
    assert "Traceback" not in result.stderr
