"""Which tests are unit tests, and how long a test of `make test` may take: hooks that tests/conftest.py imports.

A unit test needs no server, no process that loads models and no training: it asks for none of EXPENSIVE, is not marked
`heavy`, and fails where it starts one of these all the same. `make test-unit` runs these and no others.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

EXPENSIVE = {"store", "prefect_engine", "forked_models", "tracked_offline", "open_moto"}
"""Fixtures behind which a process starts: S3, Prefect, one that loads models, W&B's own; or a server in this one."""
SERVERS = ("prefect.server.api.server:create_app", "-s3.config=")
"""What only the command of a Prefect server has in it, and only that of the embedded S3 server."""
# The aim is 5 s; it takes effect when the tests above it are shortened, or listed below with their reasons.
LIMIT_SECONDS = 60.0
LONGER: dict[str, str] = {
    "tests/integration/test_kills.py::test_killed_run_is_finished_by_the_same_command": "kills whole commands and runs them again",
    "tests/integration/test_registry_machine.py::test_registry_holds_what_it_promises": "fifty examples of twenty steps",
    "tests/integration/test_race.py::test_racing_promoters_leave_one_log_without_a_gap": "races for as long as it says",
}
"""Tests of `make test` that may take longer, with the reason."""
PRESSURE = os.open(path, os.O_RDONLY) if (path := Path("/proc/pressure/cpu")).exists() else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        if EXPENSIVE.isdisjoint(item.fixturenames) and not any(map(item.get_closest_marker, ("heavy", "slow"))):
            item.add_marker("unit")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A unit test starts no server and no training, nor does a fixture for it."""
    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("unit"):
            _forbid(patch)
        return (yield)


def _forbid(patch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen.__init__

    def start_no_server(process: Any, args: Any, *rest: Any, **named: Any) -> None:
        if any(mark in str(args) for mark in SERVERS):
            _refuse()
        start(process, args, *rest, **named)

    patch.setattr(subprocess.Popen, "__init__", start_no_server)
    if trainer := sys.modules.get("tasks.methods.training.trainer"):
        patch.setattr(trainer.OrderedTrainer, "train", _refuse)


def _refuse(*_: object, **__: object) -> NoReturn:
    pytest.fail("A unit test starts no server and no training: mark it with pytest.mark.heavy.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that took too long for `make test`.

    Time in which the machine had too few processors is not counted, whoever wanted them, so that a test never fails for
    what else the machine does. Where Linux does not measure that, and in runs without workers, nothing is counted.
    """
    begun, waited = time.monotonic(), _seconds_of_contention()
    yield
    seconds = time.monotonic() - begun - (_seconds_of_contention() - waited)
    is_judged = PRESSURE is not None and "PYTEST_XDIST_WORKER" in os.environ and not item.get_closest_marker("slow")
    if is_judged and is_too_long(item.nodeid, seconds):
        pytest.fail(
            f"It took {seconds:.1f} s; {LIMIT_SECONDS:.0f} s at most in `make test`. Share or shorten what it waits for, "
            "or give its reason in LONGER of tests/tiers.py."
        )


def is_too_long(test: str, seconds: float) -> bool:
    return seconds > LIMIT_SECONDS and test.partition("[")[0] not in LONGER


def _seconds_of_contention() -> float:
    """For how long, since the machine started, something that could run had no processor."""
    if PRESSURE is None:
        return 0.0
    return int(os.pread(PRESSURE, 200, 0).split()[4].removeprefix(b"total=")) / 1e6
