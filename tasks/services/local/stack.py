"""The local stack: a Prefect server and workers under supervisord, which restarts them.

The programs are configured in `supervisor`; the S3 server belongs to `object_store`.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from xmlrpc.client import Error, ServerProxy

import httpx
import psutil

from schemas.errors import Unavailable, UsageError
from schemas.settings import Settings
from tasks.services.local import supervisor as programs
from tasks.services.local.supervisor import SERVER, STOP_SECONDS, WORKERS, api_path, folder_of, log_of
from tasks.services.process import identity
from tasks.services.process.files import flock

START_SECONDS = 180
SETTLE_SECONDS = 2
END_SECONDS = STOP_SECONDS - 15
LAST_LINES = 5
STOPPED = ("STOPPED", "EXITED", "FATAL")


def api_of(settings: Settings) -> str:
    """Return the address of the server as started, else as configured."""
    path = api_path(settings)
    return path.read_text() if path.exists() else f"http://127.0.0.1:{settings.prefect_port}/api"


def running_api(settings: Settings) -> str | None:
    """Return the address of the Prefect server started by `up`, None while it is not running. Raises UsageError."""
    try:
        # Every command calls this, most without a stack, so look for the file first.
        is_running = api_path(settings).exists() and _states_or_none(settings).get("server") == "RUNNING"
        return api_of(settings) if is_running else None
    except PermissionError as error:
        raise UsageError(f"TUNEGATE_HOME: {error.filename} is not readable. Choose another folder.") from None


def start(settings: Settings) -> bool:
    """Start supervisord and the server; False when it was running already. Raises Unavailable, UsageError.

    The caller holds `exclusive` until the workers are started too.
    """
    is_new = not is_up(settings)
    if is_new:
        _end_orphans(settings)
        _launch(settings)
    else:
        _start_group(settings, SERVER)
    try:
        # Also for a running stack: its start may have been interrupted.
        _wait_for_server(settings)
    except Unavailable:
        # A stack that was running before may be training.
        if is_new:
            _stop(settings)
        raise
    return is_new


def start_workers(settings: Settings) -> None:
    """Start the worker and the trainers; their work pools must exist."""
    _start_group(settings, WORKERS)


def has_worker(settings: Settings) -> bool:
    """Whether the worker was started."""
    return states(settings)["worker"] not in STOPPED


def stop(settings: Settings) -> bool:
    """Stop the workers, with their runs, and the server; False when nothing was running."""
    with exclusive(settings):
        return _stop(settings)


def is_up(settings: Settings) -> bool:
    """Whether supervisord answers, in whatever state its programs are."""
    return bool(_states_or_none(settings))


def states(settings: Settings) -> dict[str, str]:
    """Return supervisord's state of each program, such as RUNNING. Raises Unavailable when it does not answer."""
    with _supervisor(settings) as supervisor:
        return {process["name"]: process["statename"] for process in supervisor.getAllProcessInfo()}


def _states_or_none(settings: Settings) -> dict[str, str]:
    try:
        return states(settings)
    except Unavailable:
        return {}


@contextlib.contextmanager
def _supervisor(settings: Settings) -> Iterator[Any]:
    """Yield supervisord's XML-RPC interface. Raises Unavailable."""
    from supervisor.xmlrpc import SupervisorTransport

    transport = SupervisorTransport(None, None, f"unix://{programs.socket_of(settings)}")
    try:
        yield ServerProxy("http://127.0.0.1", transport=transport).supervisor
    except (OSError, Error) as error:
        raise Unavailable(f"The local stack does not answer: {error}. `tunegate up` starts it.") from None


def _launch(settings: Settings) -> None:
    api = api_of(settings)
    if _answers(api):
        raise UsageError(
            f"Port {settings.prefect_port} is in use by another process. Stop it, or choose another port: "
            "TUNEGATE_PREFECT_PORT."
        )
    path = folder_of(settings) / "supervisord.conf"
    programs.socket_of(settings).parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(programs.configuration(settings))
    api_path(settings).write_text(api)
    done = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(path)],
        env=programs.environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        # supervisord's error on a % it cannot expand prints the whole environment.
        lines = [line for line in (done.stdout + done.stderr).strip().splitlines() if "ENV_" not in line]
        output = "\n".join(lines[-LAST_LINES:])
        raise Unavailable(f"supervisord, which runs the local stack, did not start with {path}:\n{output}")


def _start_group(settings: Settings, group: str) -> None:
    """Start the stopped programs of a group. Raises Unavailable with the log of one that does not start."""
    from supervisor.xmlrpc import Faults

    with _supervisor(settings) as supervisor:
        started = supervisor.startProcessGroup(group)
    for found in started:
        if found["status"] != Faults.SUCCESS:
            log = log_of(settings, found["name"])
            raise Unavailable(
                f"supervisord could not start {found['name']} ({found['description']}). Its log is {log}."
            )


def _stop(settings: Settings) -> bool:
    was_up = is_up(settings)
    if was_up:
        # One that was configured by an earlier tunegate has other groups: its processes are ended one by one then.
        with contextlib.suppress(Unavailable):
            _shut_down(settings)
    return _end_orphans(settings) or was_up


def _shut_down(settings: Settings) -> None:
    with _supervisor(settings) as supervisor:
        # Before the server, to which their runs report their final state.
        supervisor.stopProcessGroup(WORKERS)
        # Time for automations to act on the last reports.
        time.sleep(SETTLE_SECONDS)
        supervisord = psutil.Process(supervisor.getPID())
        supervisor.shutdown()
    # If it survives, `_end_orphans` kills it.
    identity.wait([supervisord], STOP_SECONDS)


def _end_orphans(settings: Settings) -> bool:
    """End processes that outlived their supervisord, the server last: two would write into one database."""
    # A supervisord without its socket would restart what is ended here.
    supervisors = list(programs.supervisors(settings))
    identity.end(supervisors, END_SECONDS, [psutil.Process.kill])
    workers, servers = (list(programs.running(settings, program)) for program in ("worker", "server"))
    identity.end(workers, END_SECONDS)
    if workers:
        time.sleep(SETTLE_SECONDS)
    identity.end(servers, END_SECONDS)
    api_path(settings).unlink(missing_ok=True)
    return bool(supervisors or workers or servers)


def _wait_for_server(settings: Settings) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(api_of(settings)):
        if time.monotonic() > deadline or states(settings)[SERVER] == "FATAL":
            raise Unavailable(f"The server did not become ready. Its log is {log_of(settings, SERVER)}.")
        time.sleep(0.3)


def _answers(api: str) -> bool:
    try:
        # Any response will do.
        httpx.get(f"{api}/health", timeout=5)
    except httpx.TransportError:
        return False
    return True


@contextlib.contextmanager
def exclusive(settings: Settings) -> Iterator[None]:
    """Lock starting and stopping of the stack; not reentrant."""
    folder = folder_of(settings)
    folder.mkdir(parents=True, exist_ok=True)
    # The server logs the webhook address of a failed notification, which is a secret.
    folder.chmod(0o700)
    with flock(folder / "lock"):
        yield
