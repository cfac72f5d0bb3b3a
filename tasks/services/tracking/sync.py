"""Tracking runs that lie here and not with W&B: found, sent by W&B's own sync, marked once they have arrived.

wandb 0.31 marks a run as synced and exits with 0 also where the server has refused its files. So it is given links in
a folder of their own, and the run itself is marked only when the log of its sync tells of no failure.
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

RUNS = "wandb/*/*/wandb/*run-*/*.wandb"
MARK = ".synced"
HEADER_BYTES = 7
PATIENCE = {
    # Its own limits let one run try for hours.
    "WANDB_X_GRAPHQL_RETRY_MAX": "3",
    "WANDB_X_FILE_STREAM_RETRY_MAX": "3",
    "WANDB_X_FILE_TRANSFER_RETRY_MAX": "3",
}
RUN_SECONDS = 600
PROBE_SECONDS = 10
# What servers of other versions lack, W&B's own statistics, and the half of a record that a killed process has left.
HARMLESS = ("featurechecker", "analytics", "incomplete transaction log")
SENT = "sender: closed"
NEVER_BEGUN = "failed to init run"
FINISHED = "stream: all finished"
WIDTH = 300


def find_unsent(home: Path) -> list[Path]:
    """The files of the runs that W&B does not have in full, oldest first; without those that are being written."""
    waiting = [path for path in home.glob(RUNS) if not _mark_of(path).exists() and _is_wanted(path)]
    written = _open_files() if waiting else set()
    return sorted((path for path in waiting if path not in written), key=lambda path: path.parent.name)


def name_of(path: Path) -> str:
    """A run as a person finds it: flow run, step and W&B's own id."""
    group, step = path.parts[-5], path.parts[-4]
    return f"{group}/{step}/{path.stem}"


def send(path: Path) -> None:
    """Send a run and mark it as sent. Raises Unavailable with the reason where a part of it may not have arrived."""
    with tempfile.TemporaryDirectory(prefix="tunegate-sync-") as folder:
        problem = _sync(path, Path(folder))
    if problem:
        raise Unavailable(problem)
    _mark_of(path).touch()


def check_server() -> None:
    """Raises Unavailable when W&B does not answer at all."""
    server = os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    try:
        # Whatever it says, something listens.
        httpx.get(server, timeout=PROBE_SECONDS)
    except httpx.HTTPError as error:
        raise Unavailable(f"W&B at {without_password(server)} did not answer: {error}.") from None


def _sync(path: Path, folder: Path) -> str | None:
    """Have W&B send a run, from links to it in a folder; what went wrong, None when all of it was taken."""
    staged = folder / path.parent.name
    staged.mkdir()
    (staged / path.name).symlink_to(path)
    (staged / "files").symlink_to(path.parent / "files")
    command = [sys.executable, "-m", "wandb", "sync", "--include-online", str(staged)]
    environment = PATIENCE | os.environ | {"WANDB_DIR": str(folder), "WANDB_MODE": "online"}
    # Where this process has a W&B service of its own, with settings of its own, the command starts another.
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
        return " ".join((done.stdout + done.stderr).split())[-WIDTH:] or "W&B's sync ended without a word"
    return None


def _is_wanted(path: Path) -> bool:
    """Every offline run, and an online one whose server was lost before the end; none that was killed at its start."""
    if path.stat().st_size <= HEADER_BYTES:
        return False
    if path.parent.name.startswith("offline-"):
        return True
    log = path.parent / "logs" / "debug-internal.log"
    said = [line["msg"] for line in _lines(log)]
    # Where the server did not answer from the start, the step was tracked offline.
    if any(NEVER_BEGUN in message for message in said):
        return False
    return FINISHED not in said or any(True for _ in _failures(log))


def _failures(log: Path) -> Iterator[str]:
    for line in _lines(log):
        if line["level"].startswith("ERROR") and not any(harmless in line["msg"] for harmless in HARMLESS):
            # Addresses to upload to are signed behind their question mark.
            said = f"{line['msg']} ({line['cause']})" if line["cause"] else line["msg"]
            yield re.sub(r"\?\S*", "", " ".join(said.split()))[:WIDTH]


def _lines(log: Path) -> Iterator[dict[str, str]]:
    if not log.exists():
        return
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            said = json.loads(line)
            cause = said.get("error") or said.get("status") or ""
            yield {"level": str(said["level"]), "msg": str(said["msg"]), "cause": str(cause)}
        except (ValueError, LookupError, TypeError):
            # The last line of a process that was killed.
            continue


def _open_files() -> set[Path]:
    """What processes of this machine have open: a run among them is still being written."""
    found: set[Path] = set()
    for process in psutil.process_iter():
        try:
            found.update(Path(file.path) for file in process.open_files())
        except (psutil.Error, OSError):
            # It is another user's, or has ended meanwhile.
            continue
    return found


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + MARK)
