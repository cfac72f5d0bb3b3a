"""The Prefect server of a command: the configured one, or Prefect's own temporary one, which must not outlive it."""

import contextlib
import os
import signal

import psutil
from prefect.client.orchestration import get_client

from schemas.errors import Unavailable
from tasks.services.processes import ProcessIdentity, is_dead, this_process

# Handed down to the temporary server, so that one whose command was killed is known by it.
OWNER = "TUNEGATE_SERVER_OWNER"


def reach_server() -> None:
    """Start Prefect's own server, or ask the configured one whether it is well. Raises Unavailable."""
    end_orphans()
    os.environ[OWNER] = this_process().model_dump_json()
    # A process starts with the signals blocked that its parent blocks: Ctrl-C is for this command, which then tells
    # the server how it ended. A server that went down with it would be asked in vain for more than a minute.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
    except RuntimeError as error:
        problem = error
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if problem:
        raise Unavailable(
            f"The Prefect server {_where()} did not answer: {problem}. "
            "Check PREFECT_API_URL, or unset it to do without one."
        )


def lost_server(error: Exception) -> Unavailable:
    """Say what it means that a request to the server failed in the middle of a run."""
    return Unavailable(
        f"The Prefect server {_where()} stopped answering: {error}. Run again: finished steps are not repeated."
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


def _where() -> str:
    return os.environ.get("PREFECT_API_URL") or "of its own, within this command,"
