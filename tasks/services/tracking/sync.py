"""Sync of local tracking runs to W&B, by `wandb sync`; a run is marked once all of it has arrived.

wandb 0.31 marks a run as synced and exits with 0 even where the server has refused its files. So it syncs links in a
temporary folder, and the run itself is marked only if the sync's log shows no failure.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from schemas.errors import Unavailable
from schemas.settings import without_password
from tasks.services.tracking.wandb_runs import IDENTITY

RUNS = "wandb/*/*/wandb/*run-*/*.wandb"
MARK = ".synced"
HEADER_BYTES = 7
RETRY_LIMITS = {
    # With W&B's defaults one run retries for hours.
    "WANDB_X_GRAPHQL_RETRY_MAX": "3",
    "WANDB_X_FILE_STREAM_RETRY_MAX": "3",
    "WANDB_X_FILE_TRANSFER_RETRY_MAX": "3",
}
RUN_SECONDS = 600
PROBE_SECONDS = 10
# Features missing on older servers, W&B's own statistics, and the partial record of a killed process.
HARMLESS = ("featurechecker", "analytics", "incomplete transaction log")
SENT = "sender: closed"
NEVER_BEGUN = "failed to init run"
FINISHED = "stream: all finished"
WIDTH = 300


def find_unsynced(home: Path) -> list[Path]:
    """List the files of runs that W&B lacks or has in part, oldest first, without those being written."""
    waiting = [path for path in home.glob(RUNS) if not _mark_of(path).exists() and _is_wanted(path)]
    written = _open_files() if waiting else set()
    return sorted((path for path in waiting if path not in written), key=lambda path: path.parent.name)


def name_of(path: Path) -> str:
    """Name a run for people: flow run, step and W&B's id."""
    group, step = path.parts[-5], path.parts[-4]
    return f"{group}/{step}/{path.stem}"


def sync_run(path: Path) -> None:
    """Sync a run and mark it as synced. Raises Unavailable with the reason where a part may not have arrived."""
    with tempfile.TemporaryDirectory(prefix="tunegate-sync-") as folder:
        problem = _sync(path, Path(folder))
    if problem:
        raise Unavailable(problem)
    _mark_of(path).touch()


def check_server() -> None:
    """Raise Unavailable when W&B does not answer."""
    server = os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    try:
        # Any response will do.
        httpx.get(server, timeout=PROBE_SECONDS)
    except httpx.HTTPError as error:
        raise Unavailable(f"W&B at {without_password(server)} did not answer: {error}.") from None


def _sync(path: Path, folder: Path) -> str | None:
    """Run `wandb sync` on links to a run in `folder`; return the problem, None if all of it was accepted."""
    staged = folder / path.parent.name
    staged.mkdir()
    (staged / path.name).symlink_to(path)
    (staged / "files").symlink_to(path.parent / "files")
    command = [sys.executable, "-m", "wandb", "sync", "--include-online", str(staged)]
    given = {name: value for name, value in os.environ.items() if not IDENTITY.fullmatch(name)}
    environment = RETRY_LIMITS | given | {"WANDB_DIR": str(folder), "WANDB_MODE": "online"}
    # Without this, the command would use this process's W&B service and its settings.
    environment.pop("WANDB_SERVICE", None)
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {RUN_SECONDS} s"
    logs = list(folder.glob("wandb/logs/debug-sync*.log"))
    for failure in (failure for log in logs for failure in _failures(log)):
        return failure
    is_sent = any(line["msg"] == SENT for log in logs for line in _lines(log))
    if done.returncode or not is_sent:
        return " ".join((done.stdout + done.stderr).split())[-WIDTH:] or "W&B's sync ended without a message"
    return None


def _is_wanted(path: Path) -> bool:
    """Whether a run is offline, or online with a server lost before the end; not one killed at its start."""
    if path.stat().st_size <= HEADER_BYTES:
        return False
    if path.parent.name.startswith("offline-"):
        return True
    log = path.parent / "logs" / "debug-internal.log"
    messages = [line["msg"] for line in _lines(log)]
    # Where the server did not answer from the start, the step was tracked offline.
    if any(NEVER_BEGUN in message for message in messages):
        return False
    return FINISHED not in messages or any(True for _ in _failures(log))


def _failures(log: Path) -> Iterator[str]:
    for line in _lines(log):
        if line["level"].startswith("ERROR") and not any(harmless in line["msg"] for harmless in HARMLESS):
            # The query of an upload address is its signature.
            text = f"{line['msg']} ({line['cause']})" if line["cause"] else line["msg"]
            yield re.sub(r"\?\S*", "", " ".join(text.split()))[:WIDTH]


def _lines(log: Path) -> Iterator[dict[str, str]]:
    if not log.exists():
        return
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            cause = entry.get("error") or entry.get("status") or ""
            yield {"level": str(entry["level"]), "msg": str(entry["msg"]), "cause": str(cause)}
        except (ValueError, LookupError, TypeError):
            # The last line of a killed process.
            continue


def _open_files() -> set[Path]:
    """Return the files that processes have open: a run among them is still being written."""
    found: set[Path] = set()
    for process in psutil.process_iter():
        try:
            found.update(Path(file.path) for file in process.open_files())
        except (psutil.Error, OSError):
            # Another user's process, or one that has ended meanwhile.
            continue
    return found


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + MARK)
