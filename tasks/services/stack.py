"""The local stack: Prefect's server and a worker, which supervisord starts, and starts again when they end.

Everything lies under TUNEGATE_HOME/stack and listens on loopback only; the S3 server is `embedded`'s, as always.
"""

import contextlib
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from xmlrpc.client import Error, ServerProxy

import httpx
import psutil

from schemas.errors import Unavailable, UsageError
from schemas.settings import Settings, library_environment

POOL, TRAINING_POOL = POOLS = ("tunegate", "tunegate-training")
START_SECONDS = 180
STOP_SECONDS = 60
"""A worker gives its runs 30 seconds to end."""
SETTLE_SECONDS = 2
# Runs that ended 90 days ago go, with their logs; otherwise the database grows for ever.
FORGETTING = {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs"}
STOPPED = ("STOPPED", "EXITED", "FATAL")
Program = Literal["server", "worker"]


def api_of(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.prefect_port}/api"


def running_api(settings: Settings) -> str | None:
    """The address of the Prefect server that `up` has started, None where it has not."""
    path = _folder(settings) / "api"
    return path.read_text() if path.exists() and is_up(settings) else None


def start(settings: Settings) -> bool:
    """Have supervisord run, and with it the server; False when it ran already. Raises Unavailable, UsageError."""
    if is_up(settings):
        # Whoever started it may have been interrupted.
        _wait(settings, lambda: _answers(running_api(settings) or api_of(settings)), "server")
        return False
    folder = _folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    # Prefect's server logs the address of a receiver that refuses a message, and such an address is a secret.
    folder.chmod(0o700)
    if _answers(api_of(settings)):
        raise UsageError(
            f"Something else listens on port {settings.prefect_port} already. End it, or choose another port: "
            "TUNEGATE_PREFECT_PORT."
        )
    (folder / "supervisord.conf").write_text(_configuration(settings))
    (folder / "api").write_text(api_of(settings))
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(folder / "supervisord.conf")]
    subprocess.run(command, check=True, env=_environment(settings), stdin=subprocess.DEVNULL)
    _wait(settings, lambda: _answers(api_of(settings)), "server")
    return True


def start_workers(settings: Settings) -> None:
    """Start the worker and the trainers, for which their work pools must be there."""
    with _supervisor(settings) as supervisor:
        for name, state in states(settings).items():
            if state in STOPPED:
                supervisor.startProcess(name)


def has_worker(settings: Settings) -> bool:
    """Whether the worker was started, and so somebody looks after runs."""
    return states(settings)["worker"] not in STOPPED


def stop(settings: Settings) -> bool:
    """End the workers, with what they run, and the server; False when nothing ran."""
    if not is_up(settings):
        return False
    with _supervisor(settings) as supervisor:
        # Before the server, which its runs tell how they ended.
        for name, state in states(settings).items():
            if name != "server" and state == "RUNNING":
                supervisor.stopProcess(name)
        # What they told it last, automations answer.
        time.sleep(SETTLE_SECONDS)
        supervisord = psutil.Process(supervisor.getPID())
        supervisor.shutdown()
    supervisord.wait(STOP_SECONDS)
    (_folder(settings) / "api").unlink(missing_ok=True)
    return True


def is_up(settings: Settings) -> bool:
    try:
        return bool(states(settings))
    except Unavailable:
        return False


def states(settings: Settings) -> dict[str, str]:
    """What supervisord says of each program, such as RUNNING. Raises Unavailable when it does not answer."""
    with _supervisor(settings) as supervisor:
        return {process["name"]: process["statename"] for process in supervisor.getAllProcessInfo()}


def log_of(settings: Settings, program: Program) -> Path:
    return _folder(settings) / f"{program}.log"


@contextlib.contextmanager
def _supervisor(settings: Settings) -> Iterator[Any]:
    from supervisor.xmlrpc import SupervisorTransport

    transport = SupervisorTransport(None, None, f"unix://{_socket(settings)}")
    try:
        yield ServerProxy("http://127.0.0.1", transport=transport).supervisor
    except (OSError, Error) as error:
        raise Unavailable(f"The local stack does not answer: {error}. `tunegate up` starts it.") from None


def _configuration(settings: Settings) -> str:
    """What supervisord runs. No secret is in it: its programs get its environment."""
    folder, port = _folder(settings), settings.prefect_port
    # In a configuration of supervisord % begins a variable.
    python = f"{shlex.quote(sys.executable)} -m prefect".replace("%", "%%")
    worker = f"{python} worker start --type process --pool"
    programs = {
        "server": f"{python} server start --host 127.0.0.1 --port {port}",
        # A worker that ends must not leave its runs behind; and their output is in Prefect's own log.
        "worker": f"{worker} {POOL} --name local",
        **{name: f"{worker} {TRAINING_POOL} --limit 1 --name {name}" for name in _trainers(settings)},
    }
    sections = [
        f"[supervisord]\nlogfile={folder}/supervisord.log\npidfile={folder}/supervisord.pid\nchildlogdir={folder}\n",
        f"[unix_http_server]\nfile={_socket(settings)}\nchmod=0700\n",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
    ]
    for name, command in programs.items():
        sections.append(
            f"[program:{name}]\ncommand={command}\nautostart={'true' if name == 'server' else 'false'}\n"
            f"autorestart=true\nstartsecs=2\nstartretries=20\nstopwaitsecs={STOP_SECONDS - 15}\nkillasgroup=true\n"
            f"redirect_stderr=true\nstdout_logfile={folder}/{name}.log\nstdout_logfile_maxbytes=10MB\n"
        )
    return "\n".join(sections)


def _trainers(settings: Settings) -> list[str]:
    return [f"trainer-{number}" for number in range(1, settings.trainers + 1)]


def _environment(settings: Settings) -> dict[str, str]:
    """What server, worker and the worker's runs find: absolute places, loopback only, heartbeats."""
    address = f"http://127.0.0.1:{settings.prefect_port}"
    ours = {
        **_absolute_paths(settings),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_SERVER_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address,
        # In memory they would be lost with the server, and with them the slots of runs that had not begun.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    password = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    if password:
        ours["PREFECT_API_AUTH_STRING"] = password
    return library_environment(settings) | FORGETTING | dict(os.environ) | ours


def _absolute_paths(settings: Settings) -> dict[str, str]:
    """Runs start in another folder than the command that is called now."""
    paths = {name: value for name, value in settings if isinstance(value, Path)}
    return {f"TUNEGATE_{name.upper()}": str(path) for name, path in paths.items()}


def _wait(settings: Settings, is_ready: Any, program: Program) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        if time.monotonic() > deadline or states(settings)[program] == "FATAL":
            stop(settings)
            raise Unavailable(f"The {program} did not become ready. Its log is {log_of(settings, program)}.")
        time.sleep(0.3)


def _answers(api: str) -> bool:
    try:
        # Whatever it says, something listens.
        httpx.get(f"{api}/health", timeout=5)
    except httpx.TransportError:
        return False
    return True


def _folder(settings: Settings) -> Path:
    return settings.home / "stack"


def _socket(settings: Settings) -> Path:
    """Not below the home, whose path may be longer than a socket's may be."""
    name = hashlib.sha256(str(settings.home).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"tunegate-{os.getuid()}-{name}.sock"
