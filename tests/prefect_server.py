"""The Prefect server of a test session: started by the first process that needs it, shared by all, ended by the first."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from tasks.services.process.identity import end

START_SECONDS = 120
STOP_SECONDS = 10


def begin(folder: Path) -> None:
    """Start the server whose state lies in `folder`, unless another process has; it takes twenty seconds."""
    with (folder / "prefect-server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _state(folder).exists():
            port = _free_port()
            _state(folder).write_text(f"{_start(folder, port).pid} {port}")


def reach(folder: Path) -> str:
    """Give the address of its API once it answers."""
    begin(folder)
    number, port = map(int, _state(folder).read_text().split())
    _wait_until_ready(_api(port), number, folder)
    return _api(port)


def stop(folder: Path) -> None:
    """End the server, if one was started."""
    if _state(folder).exists():
        number, _ = _state(folder).read_text().split()
        with contextlib.suppress(psutil.NoSuchProcess):
            end([psutil.Process(int(number))], STOP_SECONDS)


def _start(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    """Start it as `prefect_test_harness` of Prefect 3.8.8 does, without importing the server here too."""
    marks = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    # With a file, writers that wait for each other in Prefect hold up all tests until SQLite gives up, after a minute.
    database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:///:memory:"}
    listen = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]
    with _log(folder).open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", *listen],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | marks | database,
        )


def _wait_until_ready(api: str, number: int, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while psutil.Process(number).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        try:
            if httpx.get(f"{api}/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"The Prefect server did not start; its log is {_log(folder)}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _api(port: int) -> str:
    return f"http://127.0.0.1:{port}/api"


def _state(folder: Path) -> Path:
    return folder / "prefect-server"


def _log(folder: Path) -> Path:
    return folder / "prefect-server.log"
