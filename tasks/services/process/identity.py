"""Which process this is, among all machines, who runs it, whether another one is known to be dead, and ending one."""

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
Way = Callable[[psutil.Process], None]
CLOCK_SLACK_SECONDS = 5.0  # a start time is counted from the boot time, which moves when the clock is set


class ProcessIdentity(Frozen):
    """`machine` tells apart machines, boots and containers; `started` a process from a later one with its number."""

    host: str
    machine: str
    pid: int
    started: float


def this_process() -> ProcessIdentity:
    process = psutil.Process()
    started = process.create_time()
    return ProcessIdentity(host=socket.gethostname(), machine=_machine(), pid=process.pid, started=started)


def user_name() -> str:
    """The account that this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user needs no name.
        return f"uid-{os.getuid()}"


def is_dead(identity: ProcessIdentity) -> bool:
    """Whether a process of this machine is gone; of another machine's nothing is known."""
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
    ways: Iterable[Way] = (psutil.Process.terminate, psutil.Process.kill),
) -> None:
    """End processes by one way after the other, each with its seconds. Raises Unavailable where one survives all."""
    left = list(processes)
    for way in ways:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                way(process)
        left = wait(left, seconds)
    if left:
        numbers = ", ".join(str(process.pid) for process in left)
        raise Unavailable(
            f"Not ended, though killed: process {numbers}, perhaps for a disk that does not answer. Run again later."
        )


def wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes have ended; give those that have not."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if not _has_ended(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _has_ended(process: psutil.Process) -> bool:
    """Also where nobody reaps it, as in a container without an init: psutil's own wait goes on for ever."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _machine() -> str:
    """What process numbers mean something within; empty where that cannot be told."""
    try:
        return f"{BOOT_ID.read_text().strip()} {PID_NAMESPACE.readlink()}"
    except OSError:
        return ""
