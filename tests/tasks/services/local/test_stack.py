"""The local stack without starting it; tests/integration/test_operations.py does. Alone: pytest tests/tasks/services/local/test_stack.py."""

import configparser
import errno
import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings
from supervisor.xmlrpc import Faults

from flows.commands import stack as operations
from flows.prefect_server import connection, deployments
from schemas.errors import Unavailable, UsageError
from schemas.settings import Settings
from tasks.services.local import object_store, stack
from tasks.services.local import supervisor as programs
from tests.flows.command import last_json, run
from tests.integration.stack import free_port, until


@pytest.fixture
def settings(tmp_path: Path, monkeypatch) -> Settings:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    return Settings()


@pytest.fixture
def started(monkeypatch) -> Callable[[Settings], bool]:
    """Start supervisord without waiting for the Prefect server."""

    def start(settings: Settings) -> bool:
        with stack.exclusive(settings):
            return stack.start(settings)

    monkeypatch.setattr(stack, "_wait_for_server", lambda *_: None)
    return start


def test_nothing_listens_beyond_loopback_and_no_secret_is_written(settings: Settings, monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:planted-secret")
    text = programs.configuration(settings)
    found = configparser.RawConfigParser()
    found.read_string(text)

    assert "--host 127.0.0.1" in found["program:server"]["command"]
    assert found["unix_http_server"]["chmod"] == "0700"
    assert found["group:workers"]["programs"] == "worker"
    assert {found[f"program:{name}"]["autorestart"] for name in ("server", "worker")} == {"true"}
    assert "planted-secret" not in text
    assert programs.environment(settings)["PREFECT_API_AUTH_STRING"] == "me:planted-secret"


def test_relative_paths_of_settings_are_made_absolute(settings: Settings, monkeypatch):
    monkeypatch.setenv("TUNEGATE_PUBLIC_KEY", "keys/pub.pem")

    assert programs.environment(Settings())["TUNEGATE_PUBLIC_KEY"] == str(Path("keys/pub.pem").resolve())


def test_trainers_are_workers_of_their_own_pool(settings: Settings, monkeypatch):
    monkeypatch.setenv("TUNEGATE_TRAINERS", "2")
    found = configparser.RawConfigParser()
    found.read_string(programs.configuration(Settings()))

    assert [name for name in found.sections() if "trainer" in name] == ["program:trainer-1", "program:trainer-2"]
    assert f"--pool {programs.TRAINING_POOL} --limit 1" in found["program:trainer-2"]["command"]


def test_run_that_is_silent_for_several_heartbeats_is_lost_and_no_sooner():
    described = yaml.safe_load(Path("infra/prefect.yaml").read_text())
    environment = described["definitions"]["work"]["job_variables"]["env"]
    automations = {
        one["name"]: one for one in yaml.safe_load(Path("infra/automations.yaml").read_text())["automations"]
    }
    seconds = int(environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])

    assert seconds * 2 < automations["tunegate-lost-runs"]["trigger"]["within"]
    assert all(one["work_pool"]["job_variables"]["env"] == environment for one in described["deployments"])


def test_server_forgets_old_runs_unless_it_is_told_otherwise(settings: Settings, monkeypatch):
    name = "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"

    assert programs.environment(settings)[name] == "events,flow_runs"
    monkeypatch.setenv(name, "events")
    assert programs.environment(settings)[name] == "events"


def test_socket_has_a_path_that_is_short_enough(tmp_path: Path):
    deep = Settings(home=tmp_path / ("a" * 150))

    assert len(str(programs.socket_of(deep))) < 100
    assert programs.socket_of(deep) != programs.socket_of(Settings(home=tmp_path))


def test_socket_lies_where_every_shell_looks(settings: Settings, tmp_path: Path):
    where = "from schemas.settings import Settings; from tasks.services.local.supervisor import socket_of; print(socket_of(Settings()))"
    elsewhere = os.environ | {"TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", where], env=elsewhere, capture_output=True, text=True, check=True)

    assert found.stdout.strip() == str(programs.socket_of(settings))
    assert programs.socket_of(settings).parent == settings.home / "stack"


@pytest.fixture
def far(tmp_path: Path, monkeypatch) -> Settings:
    """A home whose path is too long for a socket, and a user without a folder for it."""
    monkeypatch.setattr(os, "getuid", lambda: 900_000 + os.getpid())
    yield Settings(home=tmp_path / ("a" * 150))
    folder = Path(f"/tmp/tunegate-{os.getuid()}")
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        folder.rmdir()


def test_folder_of_a_socket_is_closed_to_others_where_it_was_open(far: Settings):
    folder = programs.socket_of(far).parent
    folder.mkdir()
    folder.chmod(0o777)

    assert programs.socket_of(far).parent == folder
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder to another user")
def test_folder_of_a_socket_that_another_user_made_first_is_refused(far: Settings):
    folder = programs.socket_of(far).parent
    folder.mkdir()
    os.chown(folder, 4321, -1)

    with pytest.raises(
        UsageError, match=f"the sockets of the local stack: the folder {folder} belongs to the user 4321"
    ):
        programs.socket_of(far)


def test_link_in_the_place_of_a_sockets_folder_is_refused(far: Settings, tmp_path: Path):
    programs.socket_of(far).parent.symlink_to(tmp_path)

    with pytest.raises(UsageError, match="is not a folder"):
        programs.socket_of(far)


def test_home_with_a_sign_of_supervisords_own_is_its_folder(tmp_path: Path, monkeypatch, started):
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "100%s"))
    monkeypatch.setenv("TUNEGATE_PREFECT_PORT", str(free_port()))
    settings = Settings()
    try:
        assert started(settings)
        assert stack.is_up(settings)
        assert programs.socket_of(settings).stat().st_mode & 0o077 == 0
        assert (tmp_path / "100%s" / "stack" / "supervisord.log").exists()
    finally:
        assert stack.stop(settings)
    assert not stack.is_up(settings)


def test_supervisord_whose_socket_is_gone_is_ended_with_what_it_runs(settings: Settings, monkeypatch, started):
    monkeypatch.setenv("TUNEGATE_PREFECT_PORT", str(free_port()))
    settings = Settings()
    started(settings)
    (server,) = until(lambda: list(programs.running(settings, "server")))
    programs.socket_of(settings).unlink()

    assert stack.stop(settings)
    # It may have ended before it was asked to, and then whoever inherited it still has to reap it.
    psutil.wait_procs([server], 10)
    assert not server.is_running()
    assert not list(programs.supervisors(settings))


def test_two_that_start_the_stack_at_once_start_one(settings: Settings, monkeypatch, started):
    monkeypatch.setenv("TUNEGATE_PREFECT_PORT", str(free_port()))
    settings = Settings()
    try:
        with ThreadPoolExecutor(2) as both:
            assert sorted(both.map(started, [settings, settings])) == [False, True]
    finally:
        stack.stop(settings)


def test_supervisord_that_does_not_start_is_told_with_what_it_says(settings: Settings, monkeypatch):
    monkeypatch.setenv("TUNEGATE_PREFECT_PORT", str(free_port()))
    monkeypatch.setattr(programs, "configuration", lambda _: "[supervisord]\nlogfile=/no/such/folder/log\n")

    with pytest.raises(Unavailable, match="supervisord.conf:\n.*/no/such/folder"), stack.exclusive(Settings()):
        stack.start(Settings())
    monkeypatch.setenv("HF_TOKEN", "planted-secret")
    monkeypatch.setattr(
        programs, "configuration", lambda _: "[program:a]\ncommand=b\nstdout_logfile=/no/%%s/c\n[supervisord]\n"
    )
    with pytest.raises(Unavailable) as told:
        stack.start(Settings())
    assert "planted-secret" not in str(told.value)


@pytest.mark.parametrize(("program", "name"), [("server", "server"), ("worker", "trainer-1")])
def test_what_outlived_its_supervisord_is_ended_and_nothing_else(settings: Settings, program: str, name: str):
    ours = {"TUNEGATE_HOME": str(settings.home), "SUPERVISOR_PROCESS_NAME": name}
    left = Sleeping("prefect", program, "start", **ours)
    others = [
        Sleeping("prefect.engine", **ours),
        Sleeping("prefect", program, "start", TUNEGATE_HOME=str(settings.home)),
        Sleeping("prefect", program, "start", **ours | {"TUNEGATE_HOME": "/elsewhere"}),
    ]
    try:
        assert "The Prefect server and the worker were stopped." in run("down").stdout
        assert left.wait(10) is not None
        assert [other.poll() for other in others] == [None] * 3
        assert "No local stack was running." in run("down").stdout
    finally:
        for process in (left, *others):
            process.kill()
            process.wait()


def test_supervisord_that_does_not_end_is_killed(settings: Settings, monkeypatch):
    deaf = Sleeping("supervisor.supervisord", TUNEGATE_HOME=str(settings.home))

    @contextmanager
    def supervisor(*_: object):
        yield SimpleNamespace(getPID=lambda: deaf.pid, shutdown=lambda: None, stopProcessGroup=lambda _: [])

    monkeypatch.setattr(stack, "_supervisor", supervisor)
    monkeypatch.setattr(stack, "states", lambda _: {"server": "RUNNING"})
    monkeypatch.setattr(stack, "STOP_SECONDS", 0.1)
    monkeypatch.setattr(stack, "SETTLE_SECONDS", 0)

    assert stack.stop(settings)
    assert deaf.wait(10) == -9


class Sleeping(subprocess.Popen[bytes]):
    """The command line of `python -m MODULE ...`."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        command = [sys.executable, "-c", "import time; time.sleep(60)", "-m", *arguments, "--such"]
        super().__init__(command, env=os.environ | variables)


@pytest.mark.parametrize("state", ["STARTING", "BACKOFF", "FATAL"])
def test_server_that_does_not_run_is_told_and_used_by_nobody(settings: Settings, monkeypatch, state: str):
    (settings.home / "stack").mkdir()
    (settings.home / "stack" / "api").write_text("http://127.0.0.1:4200/api")
    found = {"server": state, "worker": "RUNNING"}
    monkeypatch.setattr(stack, "states", lambda _: found)
    monkeypatch.setenv("PREFECT_API_URL", "")
    shown = last_json(run("status", "--json"))

    assert (shown["prefect_api"], shown["prefect_ui"]) == (None, None)
    assert (shown["server"], shown["worker"]) == (state.lower(), "running")
    assert re.search(f"^server +{state.lower()}$", run("status").stdout, re.MULTILINE)
    assert os.environ["PREFECT_API_URL"] == ""
    found["server"] = "RUNNING"
    assert last_json(run("status", "--json"))["prefect_ui"] == "http://127.0.0.1:4200"
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"


def test_server_that_was_given_up_is_started_again(settings: Settings, monkeypatch, started):
    started_again: list[str] = []

    @contextmanager
    def supervisor(*_: object):
        yield SimpleNamespace(startProcessGroup=lambda group: started_again.append(group) or [])

    monkeypatch.setattr(stack, "_supervisor", supervisor)
    monkeypatch.setattr(stack, "states", lambda _: {"server": "FATAL", "worker": "STOPPED"})

    assert not started(settings)
    assert started_again == ["server"]


def test_program_that_supervisord_cannot_start_is_told_with_its_log(settings: Settings, monkeypatch):
    failed = {"name": "trainer-1", "status": Faults.ABNORMAL_TERMINATION, "description": "ABNORMAL_TERMINATION"}
    worked = {"name": "worker", "status": Faults.SUCCESS, "description": "OK"}

    @contextmanager
    def supervisor(*_: object):
        yield SimpleNamespace(startProcessGroup=lambda group: [worked, failed] if group == "workers" else [])

    monkeypatch.setattr(stack, "_supervisor", supervisor)
    with pytest.raises(Unavailable, match=r"ABNORMAL_TERMINATION\)\. Its log is /.*/stack/trainer-1.log"):
        stack.start_workers(settings)


@pytest.mark.parametrize(("is_up", "ends"), [(True, 0), (False, 2)])
def test_only_what_was_started_here_is_stopped_where_the_server_fails(settings: Settings, monkeypatch, is_up, ends):
    """A stack that was running before may be training."""
    ended: list[Settings] = []
    monkeypatch.setattr(stack, "is_up", lambda _: is_up)
    monkeypatch.setattr(stack, "_start_group", lambda *_: None)
    monkeypatch.setattr(stack, "_launch", lambda _: None)
    monkeypatch.setattr(stack, "_shut_down", ended.append)
    monkeypatch.setattr(stack, "_end_orphans", ended.append)
    monkeypatch.setattr(stack, "_answers", lambda _: False)
    monkeypatch.setattr(stack, "states", lambda _: {"server": "FATAL", "worker": "RUNNING"})

    with pytest.raises(Unavailable, match="The server did not become ready"):
        stack.start(settings)
    # What was left over before it began, and what it started.
    assert len(ended) == ends


def test_up_is_alone_until_the_workers_are_started(settings: Settings, monkeypatch):
    """Another one would register a second automation of each name."""
    is_alone: list[bool] = []

    def note(*_: object) -> list[object]:
        with (settings.home / "stack" / "lock").open("w") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_alone.append(False)
            except BlockingIOError:
                is_alone.append(True)
        return []

    monkeypatch.setattr(object_store, "open_store", lambda _: None)
    monkeypatch.setattr(stack, "has_worker", lambda _: True)
    monkeypatch.setattr(stack, "start", note)
    monkeypatch.setattr(operations, "_register", note)
    monkeypatch.setattr(stack, "start_workers", note)
    monkeypatch.setattr(operations, "_stay", note)
    run("up")

    assert is_alone == [True, True, True, False]


def test_stack_that_is_not_up_is_told_and_stopped_without_harm(settings: Settings):
    assert last_json(run("status", "--json")) == {
        "prefect_api": None,
        "prefect_ui": None,
        "s3_endpoint": None,
        "server": None,
        "worker": None,
        "trainers": 0,
    }
    assert "No local stack was running." in run("down").stdout
    with pytest.raises(Unavailable, match="tunegate up"):
        stack.states(settings)


def test_deploying_without_a_server_says_what_to_do(settings: Settings, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    found = run("deploy")

    assert found.exit_code == 5
    assert "`tunegate up` starts one" in found.stderr


@pytest.mark.parametrize("command", ["down", "deploy"])
def test_home_that_cannot_be_made_is_told(settings: Settings, monkeypatch, command: str):
    (settings.home / "file").touch()
    monkeypatch.setenv("TUNEGATE_HOME", str(settings.home / "file" / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(settings.home / "file" / "home" / "prefect"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    found = run(command)

    assert found.exit_code == 2
    assert f"TUNEGATE_HOME: the folder {settings.home}/file/home cannot be created" in found.stderr


def test_home_of_somebody_else_is_told(settings: Settings, monkeypatch):
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(Path, "exists", refuse)
    found = run("status")

    assert found.exit_code == 2
    assert f"TUNEGATE_HOME: {settings.home}/stack/api is not readable" in found.stderr


def test_deploying_to_a_server_that_does_not_answer_says_so_and_no_password(settings: Settings, monkeypatch):
    api = f"http://ops:hidden@127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", api)
    monkeypatch.setenv("PREFECT_HOME", str(settings.home / "new" / "prefect"))
    with temporary_settings({PREFECT_API_URL: api}):
        found = run("deploy")

    assert found.exit_code == 5
    assert "did not answer: [Errno 111] Connection refused. Check PREFECT_API_URL" in found.stderr
    assert "hidden" not in found.stderr
    assert (settings.home / "new" / "prefect").is_dir()


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200"),
        ("https://ops:hun/ter2@host/api", "https://***@host"),
        ("https://ops:hunter@2@host/api", "https://***@host"),
    ],
)
def test_pages_of_the_server_are_shown_without_its_password(api: str, expected: str):
    assert operations._ui(api) == expected


def test_server_that_is_lost_while_it_is_deployed_to_is_told(settings: Settings, monkeypatch):
    def lose(_: str) -> None:
        raise httpx.ReadError("reset")

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(connection, "reach_server", lambda: None)
    monkeypatch.setattr(deployments, "deploy", lose)
    found = run("deploy")

    assert found.exit_code == 5
    assert "stopped answering: reset" in found.stderr


def test_worker_that_waits_before_it_is_started_again_is_there(settings: Settings, monkeypatch):
    found = {"server": "RUNNING", "worker": "BACKOFF"}
    monkeypatch.setattr(stack, "states", lambda _: found)

    assert stack.has_worker(settings)
    found["worker"] = "STOPPED"
    assert not stack.has_worker(settings)


def test_port_that_is_taken_is_named(settings: Settings, monkeypatch):
    monkeypatch.setattr(stack, "_answers", lambda _: True)

    with pytest.raises(UsageError, match="TUNEGATE_PREFECT_PORT"):
        stack.start(settings)
