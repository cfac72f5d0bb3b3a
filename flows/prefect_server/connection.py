"""Connection to the Prefect server: the configured one, or a temporary one that ends with the command."""

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
from prefect.context import refresh_global_settings_context
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, get_current_settings

from schemas.errors import Unavailable
from schemas.settings import read_settings, without_password
from tasks.services.local.login import CLIENT_LOGIN, SERVER_LOGIN, server_login
from tasks.services.process.identity import ProcessIdentity, is_dead, this_process

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer

UNAUTHORIZED = 401
# Inherited by the temporary server, to recognise one whose command was killed.
OWNER = "TUNEGATE_SERVER_OWNER"
SQLITE = b"SQLite format 3\0"


def reach_server() -> None:
    """Check the health of the configured server, or start a temporary one. Raises Unavailable."""
    end_orphans()
    if not PREFECT_API_URL.value():
        _prepare_temporary()
    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
            if problem is None:
                # The health check needs no password, this request does.
                client.api_version()
    except PrefectHTTPStatusError as error:
        raise _refused(error) from None
    except (RuntimeError, ValueError, httpx.HTTPError) as error:
        # A ValueError where something else answers, such as an HTML page.
        problem = error
    if problem:
        advice = "Check PREFECT_API_URL, which ends in /api, or unset it to use a temporary server."
        advice = advice if PREFECT_API_URL.value() else f"Its log is {_log_path()}."
        raise Unavailable(f"The Prefect server {_where()} did not answer: {without_password(str(problem))}. {advice}")


def _prepare_temporary() -> None:
    # Importing the server takes seconds, which a configured server saves.
    from prefect.server.api.server import SubprocessASGIServer

    os.environ[OWNER] = this_process().model_dump_json()
    _check_database()
    # The client's may come from a profile of Prefect's.
    login = PREFECT_API_AUTH_STRING.value() or server_login(read_settings())
    os.environ[SERVER_LOGIN] = os.environ[CLIENT_LOGIN] = login
    refresh_global_settings_context()
    SubprocessASGIServer._run_uvicorn_command = _start_detached  # type: ignore[method-assign, assignment]


@contextlib.contextmanager
def translated_server_failures() -> Iterator[None]:
    """Translate errors of a server that refuses or stops answering during the body. Raises Unavailable."""
    try:
        yield
    except PrefectHTTPStatusError as error:
        raise _refused(error) from None
    except httpx.TransportError as error:
        raise Unavailable(
            f"The Prefect server {_where()} stopped answering: {error}. Run again: finished steps are not repeated."
        ) from None


def _refused(error: PrefectHTTPStatusError) -> Unavailable:
    code = error.response.status_code
    remedy = "It requires NAME:PASSWORD: set PREFECT_API_AUTH_STRING." if code == UNAUTHORIZED else "Its log says why."
    address = error.request.url.copy_with(path="/", query=None, userinfo=b"")
    return Unavailable(f"The Prefect server at {address} answered {code}. {remedy}")


def _start_detached(server: "SubprocessASGIServer") -> "subprocess.Popen[bytes]":
    """Start the server as Prefect 3.8.8 does, but in a new session and with its output in a file.

    A signal to the process group (Ctrl-C, `timeout`, a supervisor) must reach the command only, which then reports its
    final state to the server; without the server it would retry for minutes. And a server that outlives a killed
    command must not hold the command's output open.
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
    """End temporary servers whose command is dead; return their number."""
    ended = 0
    for process in psutil.process_iter():
        # Another user's process, or one that ends during the loop.
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
    """Refuse a damaged database at once: the server would restart in vain for two minutes."""
    database = _log_path().with_name("prefect.db")
    if not database.exists():
        return
    with database.open("rb") as file:
        beginning = file.read(len(SQLITE))
    if beginning not in (b"", SQLITE):
        raise Unavailable(
            f"{database}: it is not an SQLite database. Move it away and run again: it holds only the history that "
            "Prefect shows, nothing that a run needs."
        )


def _log_path() -> Path:
    return Path(os.environ["PREFECT_HOME"]).expanduser() / "server.log"


def _where() -> str:
    return without_password(PREFECT_API_URL.value() or "") or "of this command"
