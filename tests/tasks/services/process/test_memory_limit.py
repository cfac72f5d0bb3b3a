"""The memory limit, with bodies that really allocate. Alone: pytest tests/tasks/services/process/test_memory_limit.py."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from schemas.errors import MemoryLimit
from tasks.services.process.memory_limit import GIGABYTE, SIGNAL, held_bytes, limited_memory

ROOM = 0.3
HOARD = "import time; held = b'x' * 500_000_000; time.sleep({seconds})"


def limit() -> float:
    return held_bytes() / GIGABYTE + ROOM


def wait(seconds: float) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        time.sleep(0.01)


def test_body_that_takes_too_much_is_ended_with_what_it_held():
    allowed = limit()
    said = rf"^train: .* held \d\.\d\d GB .* more than the {allowed:g} GB"
    with pytest.raises(MemoryLimit, match=said) as raised, limited_memory("train", allowed):
        held = [b"x" * 50_000_000 for _ in range(10)]
        wait(10)
        assert held

    assert "TUNEGATE_MEMORY_GB" in str(raised.value)
    assert raised.value.exit_code == 5


def test_child_counts_and_one_in_a_session_of_its_own_does_not():
    command = [sys.executable, "-c", HOARD.format(seconds=6)]
    with limited_memory("load", limit()), subprocess.Popen(command, start_new_session=True):
        pass
    with pytest.raises(MemoryLimit), limited_memory("load", limit()), subprocess.Popen(command):
        pass


def test_swallowed_error_is_raised_again(monkeypatch):
    monkeypatch.setattr("tasks.services.process.memory_limit.AGAIN_SECONDS", 0.1)
    swallowed = 0
    with pytest.raises(MemoryLimit), limited_memory("train", 0.001):
        try:
            wait(10)
        except MemoryLimit:
            swallowed += 1
        wait(10)

    assert swallowed == 1


def test_within_the_limit_nothing_happens_and_nothing_stays():
    before = signal.getsignal(SIGNAL)
    with limited_memory("train", limit()):
        wait(0.5)

    assert signal.getsignal(SIGNAL) is before
    assert "memory limit" not in {thread.name for thread in threading.enumerate()}


def test_no_limit_watches_nothing():
    before = signal.getsignal(SIGNAL)
    with limited_memory("train", None):
        assert signal.getsignal(SIGNAL) is before
