"""The Prefect server of a command: the configured one, or Prefect's own temporary one, which must not outlive it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import prefect
import psutil
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, get_current_settings

from schemas.errors import Unavailable
from schemas.settings import without_password
from tasks.services.process.identity import ProcessIdentity, is_dead, this_process

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

UNAUTHORIZED = 401
# Handed down to the temporary server, so that one whose command was killed is known by it.
OWNER = "TUNEGATE_SERVER_OWNER"
SQLITE = b"SQLite format 3\0"


def reach_server() -> None:
    """Start Prefect's own server, or ask the configured one whether it is well. Raises Unavailable."""
    end_orphans()
    if not PREFECT_API_URL.value():
        _prepare_own()
    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
            if problem is None:
                # Who asks how it is need not know the password.
                client.api_version()
    except PrefectHTTPStatusError as error:
        raise _refused(error) from None
    except (RuntimeError, ValueError, httpx.HTTPError) as error:
        # A ValueError where something else answers, such as a page for people.
        problem = error
    if problem:
        advice = "Check PREFECT_API_URL, which ends in /api, or unset it to do without one."
        advice = advice if PREFECT_API_URL.value() else f"Its log is {_log_path()}."
        raise Unavailable(f"The Prefect server {_where()} did not answer: {without_password(str(problem))}. {advice}")


def _prepare_own() -> None:
    # Importing the server takes seconds, which who has one already need not wait for.
    from prefect.server.api.server import SubprocessASGIServer

    os.environ[OWNER] = this_process().model_dump_json()
    _check_database()
    SubprocessASGIServer._run_uvicorn_command = _start_apart  # type: ignore[method-assign, assignment]


@contextlib.contextmanager
def server_failures_told() -> Iterator[None]:
    """Say in our words that a server refuses, or stops answering, while the body runs. Raises Unavailable."""
    try:
        yield
    except PrefectHTTPStatusError as error:
        raise _refused(error) from None
    except httpx.TransportError as error:
        raise Unavailable(
            f"The Prefect server {_where()} stopped answering: {error}. Run again: finished steps are not repeated."
        ) from None


def _refused(error: PrefectHTTPStatusError) -> Unavailable:
    """Say what it means that the server has understood a request and does not do it."""
    code = error.response.status_code
    remedy = "It asks for NAME:PASSWORD: set PREFECT_API_AUTH_STRING." if code == UNAUTHORIZED else "Its log says why."
    address = error.request.url.copy_with(path="/", query=None, userinfo=b"")
    return Unavailable(f"The Prefect server at {address} answered {code}. {remedy}")


def _start_apart(server: "SubprocessASGIServer") -> "subprocess.Popen[bytes]":
    """Start the server as Prefect 3.8.8 does, but in a session of its own and with its output in a file.

    A signal to the group (Ctrl-C, `timeout`, a supervisor) is for the command, which then tells the server how it
    ended; one that went down with it would be asked in vain for minutes. And whoever reads the command's output would
    not see its end while the server of a killed command holds it.
    """
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    marks = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    listen = ["--host", "127.0.0.1", "--port", str(server.port), "--log-level", "error", "--lifespan", "on"]
    source = ["--app-dir", str(prefect.__module_path__.parent), "--factory", "prefect.server.api.server:create_app"]
    with _log_path().open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *source, *listen],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | marks | settings,
        )


def end_orphans() -> int:
    """End temporary servers whose command is dead; give how many."""
    ended = 0
    for process in psutil.process_iter():
        # A process that is not ours to look at, or that ends meanwhile, is none of them.
        with contextlib.suppress(psutil.Error):
            if _is_orphan(process):
                process.terminate()
                ended += 1
    return ended


def _is_orphan(process: psutil.Process) -> bool:
    environment = process.environ()
    is_server = "PREFECT__SERVER_EPHEMERAL" in environment and "uvicorn" in process.cmdline()
    is_ours = environment.get("PREFECT_HOME") == os.environ.get("PREFECT_HOME") and OWNER in environment
    return is_server and is_ours and is_dead(ProcessIdentity.model_validate_json(environment[OWNER]))


def _check_database() -> None:
    """Refuse garbage at once: the server would be started for two minutes, again and again."""
    database = _log_path().with_name("prefect.db")
    if not database.exists():
        return
    with database.open("rb") as file:
        beginning = file.read(len(SQLITE))
    if beginning not in (b"", SQLITE):
        raise Unavailable(
            f"{database}: it is no SQLite database. Move it away and run again: it holds the history that Prefect "
            "shows, and nothing that a run needs."
        )


def _log_path() -> Path:
    return Path(os.environ["PREFECT_HOME"]).expanduser() / "server.log"


def _where() -> str:
    return without_password(PREFECT_API_URL.value() or "") or "of its own, within this command,"
