"""supervisord's configuration and processes: Prefect server, worker and trainers of the local stack.

All files lie under TUNEGATE_HOME/stack; all servers listen on loopback only.
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
from tasks.services.local.login import CLIENT_LOGIN, SERVER_LOGIN, server_login
from tasks.services.process.home import close_folder

SERVER, WORKERS = "server", "workers"
"""supervisord's groups; a program without one is its own group."""
POOL, TRAINING_POOL = POOLS = ("tunegate", "tunegate-training")
STOP_SECONDS = 60
"""Longer than the 30 seconds that a worker gives its runs to end."""
# Linux takes 107 bytes, and supervisord appends its process id while it binds.
LONGEST_SOCKET = 96
# Delete runs that ended 90 days ago, with their logs; otherwise the database grows without bound.
DATABASE_VACUUM = {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs"}


def folder_of(settings: Settings) -> Path:
    return settings.home / "stack"


def log_of(settings: Settings, program: str) -> Path:
    return folder_of(settings) / f"{program}.log"


def api_path(settings: Settings) -> Path:
    """Return the file that holds the address with which the server was started."""
    return folder_of(settings) / "api"


def socket_of(settings: Settings) -> Path:
    """Return supervisord's socket, in a folder that is closed to other users. Raises UsageError if that is not so.

    Where the home's path is too long for a socket it lies below /tmp, not TMPDIR, which may change between shells.
    """
    folder, name = folder_of(settings), "supervisor.sock"
    if len(os.fsencode(folder / name)) > LONGEST_SOCKET:
        folder = Path("/tmp") / f"tunegate-{os.getuid()}"  # noqa: S108  its owner and mode are checked
        name = f"{hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]}.sock"
    if os.path.lexists(folder):
        # Another user's supervisor would be sent commands, and its answers believed.
        close_folder(folder, "the sockets of the local stack")
    return folder / name


def configuration(settings: Settings) -> str:
    """Write supervisord's configuration, without secrets: its programs inherit its environment."""
    folder = folder_of(settings)
    sections = [
        f"[supervisord]\nlogfile={folder}/supervisord.log\npidfile={folder}/supervisord.pid\nchildlogdir={folder}\n",
        f"[unix_http_server]\nfile={socket_of(settings)}\nchmod=0700\n",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
    ]
    # A % begins a variable, and supervisord 4.3 expands the paths of logs twice.
    logs = str(folder).replace("%", "%%")
    for name, command in _commands(settings).items():
        sections.append(
            f"[program:{name}]\ncommand={command}\nautostart={'true' if name == SERVER else 'false'}\n"
            f"autorestart=true\nstartsecs=2\nstartretries=20\nstopwaitsecs={STOP_SECONDS - 15}\nkillasgroup=true\n"
            f"redirect_stderr=true\nstdout_logfile={logs}/{name}.log\nstdout_logfile_maxbytes=10MB\n"
        )
    sections.append(f"[group:{WORKERS}]\nprograms={','.join(name for name in _commands(settings) if name != SERVER)}\n")
    return "\n".join(sections).replace("%", "%%")


def _commands(settings: Settings) -> dict[str, str]:
    python = f"{shlex.quote(sys.executable)} -m prefect"
    trainers = [f"trainer-{number}" for number in range(1, settings.trainers + 1)]
    worker = f"{python} worker start --type process --pool"
    return {
        SERVER: f"{python} server start --host 127.0.0.1 --port {settings.prefect_port}",
        # A worker that ends must not leave its runs behind; their output is in Prefect's log.
        "worker": f"{worker} {POOL} --name local",
        **{name: f"{worker} {TRAINING_POOL} --limit 1 --name {name}" for name in trainers},
    }


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of server, workers and their runs: absolute paths, loopback only, heartbeats."""
    address = f"http://127.0.0.1:{settings.prefect_port}"
    # Runs start in another working directory than this command.
    paths = {f"TUNEGATE_{name.upper()}": str(value) for name, value in settings if isinstance(value, Path)}
    ours = {
        **paths,
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_SERVER_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address,
        # In memory, leases are lost with the server, and with them the slots of pending runs.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    ours[SERVER_LOGIN] = ours[CLIENT_LOGIN] = server_login(settings)
    return library_environment(settings) | DATABASE_VACUUM | dict(os.environ) | ours


def running(settings: Settings, program: Literal["server", "worker"]) -> Iterator[psutil.Process]:
    """Find processes started by a supervisord of this home, even a dead one; trainers are workers too."""
    for process, inherited, command in _processes(settings):
        # Workers started by hand are not ours; and the worker's runs inherit its whole environment.
        if "SUPERVISOR_PROCESS_NAME" in inherited and f"-m prefect {program} start " in command:
            yield process


def supervisors(settings: Settings) -> Iterator[psutil.Process]:
    """Find the supervisords of this home, with or without a socket."""
    for process, _, command in _processes(settings):
        if "-m supervisor.supervisord " in command:
            yield process


def _processes(settings: Settings) -> Iterator[tuple[psutil.Process, dict[str, str], str]]:
    """Find processes with this home in their environment; yield them with environment and command line."""
    for process in psutil.process_iter():
        # Another user's process, or one that ends during the loop.
        with contextlib.suppress(psutil.Error):
            inherited = process.environ()
            if inherited.get("TUNEGATE_HOME") == str(settings.home):
                yield process, inherited, " ".join(process.cmdline())
