"""Process identity across machines, liveness of other processes, and their termination."""

import contextlib
import getpass
import os
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from schemas.errors import Unavailable
from schemas.frozen import Frozen

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")
CLOCK_SLACK_SECONDS = 5.0  # a start time is counted from the boot time, which moves when the clock is set


class ProcessIdentity(Frozen):
    """`machine` distinguishes machines, boots and containers; `started` processes that reuse a pid."""

    host: str
    machine: str
    pid: int
    started: float


def this_process() -> ProcessIdentity:
    process = psutil.Process()
    started = process.create_time()
    return ProcessIdentity(host=socket.gethostname(), machine=_machine(), pid=process.pid, started=started)


def user_name() -> str:
    """Return the account that this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user may have no name.
        return f"uid-{os.getuid()}"


def is_dead(identity: ProcessIdentity) -> bool:
    """Whether a process has certainly ended; False for a process of another machine."""
    if not identity.machine or identity.machine != _machine():
        return False
    try:
        process = psutil.Process(identity.pid)
        is_another = abs(process.create_time() - identity.started) > CLOCK_SLACK_SECONDS
        return bool(is_another or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def end(
    processes: Iterable[psutil.Process],
    seconds: float,
    ways: Iterable[Callable[[psutil.Process], None]] = (psutil.Process.terminate, psutil.Process.kill),
) -> None:
    """Try each way of ending processes for `seconds`. Raises Unavailable if one survives all of them."""
    left = list(processes)
    for way in ways:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                way(process)
        left = wait(left, seconds)
    if left:
        numbers = ", ".join(str(process.pid) for process in left)
        raise Unavailable(
            f"Still running after SIGKILL: process {numbers}, perhaps blocked on a disk. Run again later."
        )


def wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if not _has_ended(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _has_ended(process: psutil.Process) -> bool:
    """Count zombies as ended: in a container without an init they stay, and psutil's own wait never returns."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _machine() -> str:
    """Identify the boot and pid namespace; empty where they cannot be read."""
    try:
        return f"{BOOT_ID.read_text().strip()} {PID_NAMESPACE.readlink()}"
    except OSError:
        return ""
