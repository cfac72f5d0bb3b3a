"""What supervisord runs, and where its files lie: Prefect's server, the worker and the trainers of the local stack.

Everything lies under TUNEGATE_HOME/stack but the socket, and listens on loopback only.
"""

import contextlib
import hashlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psutil

from schemas.settings import Settings, library_environment

POOL, TRAINING_POOL = POOLS = ("tunegate", "tunegate-training")
STOP_SECONDS = 60
"""A worker gives its runs 30 seconds to end."""
# Runs that ended 90 days ago go, with their logs; otherwise the database grows for ever.
FORGETTING = {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs"}
Program = Literal["server", "worker"]


def folder_of(settings: Settings) -> Path:
    return settings.home / "stack"


def log_of(settings: Settings, program: str) -> Path:
    return folder_of(settings) / f"{program}.log"


def api_path(settings: Settings) -> Path:
    """The file that tells the address with which the server was started."""
    return folder_of(settings) / "api"


def socket_of(settings: Settings) -> Path:
    """Not below the home, whose path may be longer than a socket's may be; nor where TMPDIR says, which may change."""
    name = hashlib.sha256(str(settings.home).encode()).hexdigest()[:16]
    return Path("/tmp") / f"tunegate-{os.getuid()}-{name}.sock"  # noqa: S108  its mode lets nobody else in


def configuration(settings: Settings) -> str:
    """What supervisord reads. No secret is in it: its programs get its environment."""
    folder = folder_of(settings)
    sections = [
        f"[supervisord]\nlogfile={folder}/supervisord.log\npidfile={folder}/supervisord.pid\nchildlogdir={folder}\n",
        f"[unix_http_server]\nfile={socket_of(settings)}\nchmod=0700\n",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
    ]
    # In supervisord's configuration % begins a variable, and what 4.3 reads of these is filled in twice.
    logs = str(folder).replace("%", "%%")
    for name, command in _commands(settings).items():
        sections.append(
            f"[program:{name}]\ncommand={command}\nautostart={'true' if name == 'server' else 'false'}\n"
            f"autorestart=true\nstartsecs=2\nstartretries=20\nstopwaitsecs={STOP_SECONDS - 15}\nkillasgroup=true\n"
            f"redirect_stderr=true\nstdout_logfile={logs}/{name}.log\nstdout_logfile_maxbytes=10MB\n"
        )
    return "\n".join(sections).replace("%", "%%")


def _commands(settings: Settings) -> dict[str, str]:
    python = f"{shlex.quote(sys.executable)} -m prefect"
    worker = f"{python} worker start --type process --pool"
    return {
        "server": f"{python} server start --host 127.0.0.1 --port {settings.prefect_port}",
        # A worker that ends must not leave its runs behind; and their output is in Prefect's own log.
        "worker": f"{worker} {POOL} --name local",
        **{name: f"{worker} {TRAINING_POOL} --limit 1 --name {name}" for name in _trainers(settings)},
    }


def _trainers(settings: Settings) -> list[str]:
    return [f"trainer-{number}" for number in range(1, settings.trainers + 1)]


def environment(settings: Settings) -> dict[str, str]:
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


def running(settings: Settings, program: Program) -> Iterator[psutil.Process]:
    """Processes that a supervisord of this home has started, also one that is dead; trainers are workers too."""
    for process, inherited, command in _processes(settings):
        # A worker that was started by hand is not ours; and the worker's runs inherit all of its environment.
        if "SUPERVISOR_PROCESS_NAME" in inherited and f"-m prefect {program} start " in command:
            yield process


def supervisors(settings: Settings) -> Iterator[psutil.Process]:
    """The supervisord of this home, whether its socket is there or not."""
    for process, _, command in _processes(settings):
        if "-m supervisor.supervisord " in command:
            yield process


def _processes(settings: Settings) -> Iterator[tuple[psutil.Process, dict[str, str], str]]:
    """Processes with this home in their environment, which is given with their command lines."""
    for process in psutil.process_iter():
        # One that is not ours to look at, or that ends meanwhile.
        with contextlib.suppress(psutil.Error):
            inherited = process.environ()
            if inherited.get("TUNEGATE_HOME") == str(settings.home):
                yield process, inherited, " ".join(process.cmdline())
