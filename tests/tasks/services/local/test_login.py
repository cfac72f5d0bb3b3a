"""The password of Prefect's servers. Alone: pytest tests/tasks/services/local/test_login.py."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.commands import app as commands
from schemas.errors import UsageError
from schemas.settings import Settings
from tasks.services.local import supervisor
from tasks.services.local.login import login_path, server_login
from tests.flows.command import run

API = "http://127.0.0.1:4200/api"
OWN, CLIENT = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch) -> Settings:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "home"))
    # So that what a command sets is taken back.
    for name in (OWN, CLIENT, "PREFECT_API_URL"):
        monkeypatch.setenv(name, "")
    return Settings()


def test_it_is_made_once_by_commands_that_start_together(settings: Settings):
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(server_login, [settings] * 8))

    (login,) = found
    name, _, password = login.partition(":")
    assert name == "tunegate"
    assert len(password) >= 32
    assert server_login(settings) == login


def test_only_its_owner_reads_it_even_after_its_mode_was_opened(settings: Settings):
    server_login(settings)
    assert login_path(settings).stat().st_mode & 0o777 == 0o600
    login_path(settings).chmod(0o644)
    server_login(settings)

    assert login_path(settings).stat().st_mode & 0o777 == 0o600


def test_password_of_the_user_wins_and_is_written_nowhere(settings: Settings, monkeypatch):
    monkeypatch.setenv(OWN, "me:mine")

    assert server_login(settings) == "me:mine"
    assert not login_path(settings).exists()


@pytest.mark.parametrize("content", [b"", b"word", b"name:", b":word", b"name:\xff\xfe", b"name:two\nlines"])
def test_file_that_holds_no_password_is_refused_without_showing_it(settings: Settings, content: bytes):
    server_login(settings)
    login_path(settings).write_bytes(content)

    with pytest.raises(UsageError, match="is not NAME:PASSWORD of Prefect's server. `tunegate down`, then delete"):
        server_login(settings)


def test_folder_in_the_place_of_the_file_is_refused(settings: Settings):
    login_path(settings).mkdir(parents=True)

    with pytest.raises(UsageError, match="prefect-login, the password of Prefect's server: Is a directory"):
        server_login(settings)


def test_server_and_workers_of_the_stack_know_it(settings: Settings):
    environment = supervisor.environment(settings)

    assert environment[OWN] == environment[CLIENT] == server_login(settings)


def test_status_prints_it_and_nothing_else(settings: Settings):
    assert run("status", "--password").stdout == f"{server_login(settings)}\n"
    assert server_login(settings) not in run("status").stdout


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [("", True), (API, True), ("http://localhost:4200/api/", True), ("https://prefect.example/api", False)],
)
def test_it_is_sent_to_the_server_of_the_stack_and_to_no_other(
    settings: Settings, monkeypatch, url: str, is_sent: bool
):
    monkeypatch.setattr(commands, "running_api", lambda _: API)
    monkeypatch.setenv("PREFECT_API_URL", url)
    run("status", "--password")

    assert os.environ["PREFECT_API_URL"] == (url or API)
    assert os.environ[CLIENT] == (server_login(settings) if is_sent else "")


def test_password_that_a_shell_was_given_for_the_stack_is_used(settings: Settings, monkeypatch):
    """That of a stack that another shell started with its own."""
    monkeypatch.setattr(commands, "running_api", lambda _: API)
    monkeypatch.setenv(CLIENT, "me:given")
    run("schema")

    assert os.environ[CLIENT] == "me:given"
