"""Whether a process is known to be dead. Alone: pytest tests/tasks/services/test_processes.py."""

import subprocess
import sys
import time

import pytest

from tasks.services.processes import is_dead, this_process


def test_this_process_lives():
    assert not is_dead(this_process())


def test_process_that_ended_is_dead():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    assert is_dead(this_process().model_copy(update={"pid": gone.pid}))


def test_process_that_nobody_waited_for_is_dead():
    with subprocess.Popen([sys.executable, "-c", ""]) as zombie:
        time.sleep(0.5)
        assert is_dead(this_process().model_copy(update={"pid": zombie.pid, "started": time.time()}))


def test_later_process_with_the_same_number_is_another():
    assert is_dead(this_process().model_copy(update={"started": this_process().started - 60}))


@pytest.mark.parametrize("machine", ["another", ""])
def test_of_another_machine_nothing_is_known(machine: str):
    assert not is_dead(this_process().model_copy(update={"machine": machine, "pid": 2**22 + 1}))
