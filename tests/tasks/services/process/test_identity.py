"""Liveness of processes, and their termination. Alone: pytest tests/tasks/services/process/test_identity.py."""

import subprocess
import sys
import time

import psutil
import pytest

from schemas.errors import Unavailable
from tasks.services.process.identity import end, is_dead, this_process, wait

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# Starts another, tells its number, and never waits for it.
CARELESS = f"import subprocess, time; print(subprocess.Popen({SLEEP}).pid, flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"


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


def test_process_that_nobody_reaps_counts_as_ended():
    with subprocess.Popen([sys.executable, "-c", CARELESS], stdout=subprocess.PIPE, text=True) as parent:
        process = psutil.Process(int(parent.stdout.readline()))
        end([process], 5)

        assert process.status() == psutil.STATUS_ZOMBIE
        parent.kill()


def test_process_that_will_not_end_is_killed():
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as stubborn:
        stubborn.stdout.readline()
        end([psutil.Process(stubborn.pid)], 0.5)

        assert stubborn.wait(5) == -9


def test_process_that_survives_is_named():
    with subprocess.Popen(SLEEP) as surviving:
        with pytest.raises(Unavailable, match=f"process {surviving.pid}"):
            end([psutil.Process(surviving.pid)], 0.1, [lambda _: None])
        surviving.kill()


def test_process_that_is_gone_is_none_to_end():
    with subprocess.Popen(SLEEP) as gone:
        process = psutil.Process(gone.pid)
        gone.kill()
    end([process], 5)

    assert wait([process], 0) == []
