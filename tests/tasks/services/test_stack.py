"""The local stack without starting it; tests/integration/test_operations.py does. Alone: pytest tests/tasks/services/test_stack.py."""

import configparser
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from schemas.errors import Unavailable, UsageError
from schemas.settings import Settings
from tasks.services import stack
from tests.flows.command import last_json, run


@pytest.fixture
def settings(tmp_path: Path, monkeypatch) -> Settings:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    return Settings()


def test_nothing_listens_beyond_loopback_and_no_secret_is_written(settings: Settings, monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:planted-secret")
    text = stack._configuration(settings)
    found = configparser.RawConfigParser()
    found.read_string(text)

    assert "--host 127.0.0.1" in found["program:server"]["command"]
    assert found["unix_http_server"]["chmod"] == "0700"
    assert {found[f"program:{name}"]["autorestart"] for name in ("server", "worker")} == {"true"}
    assert "planted-secret" not in text
    assert stack._environment(settings)["PREFECT_API_AUTH_STRING"] == "me:planted-secret"


def test_relative_paths_of_settings_are_made_absolute(settings: Settings, monkeypatch):
    monkeypatch.setenv("TUNEGATE_PUBLIC_KEY", "keys/pub.pem")

    assert stack._environment(Settings())["TUNEGATE_PUBLIC_KEY"] == str(Path("keys/pub.pem").resolve())


def test_trainers_are_workers_of_their_own_pool(settings: Settings, monkeypatch):
    monkeypatch.setenv("TUNEGATE_TRAINERS", "2")
    found = configparser.RawConfigParser()
    found.read_string(stack._configuration(Settings()))

    assert [name for name in found.sections() if "trainer" in name] == ["program:trainer-1", "program:trainer-2"]
    assert f"--pool {stack.TRAINING_POOL} --limit 1" in found["program:trainer-2"]["command"]


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

    assert stack._environment(settings)[name] == "events,flow_runs"
    monkeypatch.setenv(name, "events")
    assert stack._environment(settings)[name] == "events"


def test_socket_has_a_path_that_is_short_enough(tmp_path: Path):
    deep = Settings(home=tmp_path / ("a" * 150))

    assert len(str(stack._socket(deep))) < 100
    assert stack._socket(deep) != stack._socket(Settings(home=tmp_path))


def test_stack_that_is_not_up_is_told_and_stopped_without_harm(settings: Settings):
    assert last_json(run("status", "--json")) == {
        "prefect_api": None,
        "prefect_ui": None,
        "s3_endpoint": None,
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


def test_only_what_does_not_run_is_started(settings: Settings, monkeypatch):
    """A worker that is starting, or waits before it is started again, is supervisord's."""
    started: list[str] = []
    found = {"server": "RUNNING", "worker": "STARTING", "trainer-1": "BACKOFF", "trainer-2": "STOPPED"}

    @contextmanager
    def supervisor(_: Settings):
        yield SimpleNamespace(startProcess=started.append)

    monkeypatch.setattr(stack, "_supervisor", supervisor)
    monkeypatch.setattr(stack, "states", lambda _: found)
    stack.start_workers(settings)

    assert started == ["trainer-2"]
    assert stack.has_worker(settings)
    found["worker"] = "STOPPED"
    assert not stack.has_worker(settings)


def test_port_that_is_taken_is_named(settings: Settings, monkeypatch):
    monkeypatch.setattr(stack, "_answers", lambda _: True)

    with pytest.raises(UsageError, match="TUNEGATE_PREFECT_PORT"):
        stack.start(settings)
