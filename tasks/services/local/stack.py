"""The local stack: Prefect's server and a worker, which supervisord starts, and starts again when they end.

What it runs is in `supervisor`; the S3 server is `object_store`'s, as always.
"""

import contextlib
import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from xmlrpc.client import Error, Fault, ServerProxy

import httpx
import psutil

from schemas.errors import Unavailable, UsageError
from schemas.settings import Settings
from tasks.services.local import supervisor as programs
from tasks.services.local.supervisor import STOP_SECONDS, Program, api_path, folder_of, log_of
from tasks.services.process import identity

START_SECONDS = 180
SETTLE_SECONDS = 2
END_SECONDS = STOP_SECONDS - 15
LAST_LINES = 5
STOPPED = ("STOPPED", "EXITED", "FATAL")


def api_of(settings: Settings) -> str:
    """Where the server listens: as it was started, else as the settings say."""
    path = api_path(settings)
    return path.read_text() if path.exists() else f"http://127.0.0.1:{settings.prefect_port}/api"


def running_api(settings: Settings) -> str | None:
    """The address of the Prefect server that `up` has started, None while it does not run. Raises UsageError."""
    try:
        # Every command asks, and most are called where no stack was ever started.
        is_there = api_path(settings).exists() and _states_or_none(settings).get("server") == "RUNNING"
        return api_of(settings) if is_there else None
    except PermissionError as error:
        raise UsageError(f"TUNEGATE_HOME: {error.filename} is not yours to read. Name a folder that is.") from None


def start(settings: Settings) -> bool:
    """Have supervisord run, and with it the server; False when it ran already. Raises Unavailable, UsageError.

    What calls it is `alone`, until the workers are started, too.
    """
    is_new = not is_up(settings)
    if is_new:
        _end_left_over(settings)
        _launch(settings)
    else:
        _start_stopped(settings, "server")
    try:
        # Also for one that runs: whoever started it may have been interrupted.
        _wait(settings, lambda: _answers(api_of(settings)), "server")
    except Unavailable:
        # In a stack that ran before, others' trainings run.
        if is_new:
            _stop(settings)
        raise
    return is_new


def start_workers(settings: Settings) -> None:
    """Start the worker and the trainers, for which their work pools must be there."""
    _start_stopped(settings, *(name for name in states(settings) if name != "server"))


def has_worker(settings: Settings) -> bool:
    """Whether the worker was started, and so somebody looks after runs."""
    return states(settings)["worker"] not in STOPPED


def stop(settings: Settings) -> bool:
    """End the workers, with what they run, and the server; False when nothing ran."""
    with alone(settings):
        return _stop(settings)


def is_up(settings: Settings) -> bool:
    """Whether supervisord answers, whatever it says of its programs."""
    return bool(_states_or_none(settings))


def states(settings: Settings) -> dict[str, str]:
    """What supervisord says of each program, such as RUNNING. Raises Unavailable when it does not answer."""
    with _supervisor(settings) as supervisor:
        return {process["name"]: process["statename"] for process in supervisor.getAllProcessInfo()}


def _states_or_none(settings: Settings) -> dict[str, str]:
    try:
        return states(settings)
    except Unavailable:
        return {}


@contextlib.contextmanager
def _supervisor(settings: Settings, program: str = "supervisord") -> Iterator[Any]:
    """To call supervisord by. Raises Unavailable, with the log of the program that it is called about."""
    from supervisor.xmlrpc import SupervisorTransport

    transport = SupervisorTransport(None, None, f"unix://{programs.socket_of(settings)}")
    try:
        yield ServerProxy("http://127.0.0.1", transport=transport).supervisor
    except Fault as refused:
        log = log_of(settings, program)
        raise Unavailable(
            f"supervisord could not do it ({refused.faultString}). The log of {program} is {log}."
        ) from None
    except (OSError, Error) as error:
        raise Unavailable(f"The local stack does not answer: {error}. `tunegate up` starts it.") from None


def _launch(settings: Settings) -> None:
    api = api_of(settings)
    if _answers(api):
        raise UsageError(
            f"Something else listens on port {settings.prefect_port} already. End it, or choose another port: "
            "TUNEGATE_PREFECT_PORT."
        )
    path = folder_of(settings) / "supervisord.conf"
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
        # Where it fills in a % wrongly, it shows the whole environment.
        lines = [line for line in (done.stdout + done.stderr).strip().splitlines() if "ENV_" not in line]
        said = "\n".join(lines[-LAST_LINES:])
        raise Unavailable(f"supervisord, which keeps the local stack running, did not start with {path}:\n{said}")


def _start_stopped(settings: Settings, *names: str) -> None:
    for name, state in states(settings).items():
        if name in names and state in STOPPED:
            with _supervisor(settings, name) as supervisor:
                supervisor.startProcess(name)


def _stop(settings: Settings) -> bool:
    was_up = is_up(settings)
    if was_up:
        _shut_down(settings)
    return _end_left_over(settings) or was_up


def _shut_down(settings: Settings) -> None:
    # Before the server, which its runs tell how they ended.
    for name, state in states(settings).items():
        if name != "server" and state == "RUNNING":
            _stop_program(settings, name)
    # What they told it last, automations answer.
    time.sleep(SETTLE_SECONDS)
    with _supervisor(settings) as supervisor:
        supervisord = psutil.Process(supervisor.getPID())
        supervisor.shutdown()
    # One that does not end is left over.
    identity.wait([supervisord], STOP_SECONDS)


def _stop_program(settings: Settings, name: str) -> None:
    from supervisor.xmlrpc import Faults

    with _supervisor(settings, name) as supervisor:
        try:
            supervisor.stopProcess(name)
        except Fault as refused:
            # It has ended since it was looked at.
            if refused.faultCode != Faults.NOT_RUNNING:
                raise


def _end_left_over(settings: Settings) -> bool:
    """End what outlived its supervisord, the server last: a second one would write into the same database."""
    # One whose socket is gone would start again what is ended.
    supervisors = list(programs.supervisors(settings))
    identity.end(supervisors, END_SECONDS, [psutil.Process.kill])
    workers, servers = (list(programs.running(settings, program)) for program in ("worker", "server"))
    identity.end(workers, END_SECONDS)
    if workers:
        time.sleep(SETTLE_SECONDS)
    identity.end(servers, END_SECONDS)
    api_path(settings).unlink(missing_ok=True)
    return bool(supervisors or workers or servers)


def _wait(settings: Settings, is_ready: Any, program: Program) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        if time.monotonic() > deadline or states(settings)[program] == "FATAL":
            raise Unavailable(f"The {program} did not become ready. Its log is {log_of(settings, program)}.")
        time.sleep(0.3)


def _answers(api: str) -> bool:
    try:
        # Whatever it says, something listens.
        httpx.get(f"{api}/health", timeout=5)
    except httpx.TransportError:
        return False
    return True


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Wait until nobody else starts or stops the stack; who asks again within waits for itself."""
    folder = folder_of(settings)
    folder.mkdir(parents=True, exist_ok=True)
    # Prefect's server logs the address of a receiver that refuses a message, and such an address is a secret.
    folder.chmod(0o700)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
