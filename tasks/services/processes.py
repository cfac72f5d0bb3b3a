"""Which process this is, among all machines, who runs it, and whether another one is known to be dead."""

import getpass
import os
import socket
from pathlib import Path

import psutil

from schemas.frozen import Frozen

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")
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


def _machine() -> str:
    """What process numbers mean something within; empty where that cannot be told."""
    try:
        return f"{BOOT_ID.read_text().strip()} {PID_NAMESPACE.readlink()}"
    except OSError:
        return ""
