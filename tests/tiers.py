"""Which tests are unit tests, and how long a test of `make test` may take: hooks that tests/conftest.py imports.

A unit test needs no server, no process that loads models and no training: it asks for none of EXPENSIVE, is not marked
`heavy`, and fails where it starts one of these all the same. `make test-unit` runs these and no others.
"""

import hashlib
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
LIMIT_SECONDS = 5.0
RUNS = "several runs of the whole chain, with trainings of a second or two"
LONGER: dict[str, str] = {
    "tests/flows/commands/test_app.py": RUNS,
    "tests/flows/commands/test_approval.py": RUNS,
    "tests/flows/commands/test_bad_input.py::test_outcome_is_told_where_its_files_could_not_be_written": RUNS,
    "tests/flows/commands/test_bad_input.py::test_trained_model_is_kept_when_the_store_fails_and_the_next_run_goes_on": RUNS,
    "tests/flows/commands/test_bad_input.py::test_labels_that_are_not_the_champions_are_refused_before_training": RUNS,
    "tests/flows/commands/test_bad_input.py::test_dropped_rows_are_counted_and_the_run_goes_on": RUNS,
    "tests/flows/test_trust.py": RUNS,
    "tests/flows/test_traces.py::test_refusal_is_an_alert_and_its_version_has_no_alias": RUNS,
    "tests/flows/test_format_1.py::test_waiting_proposal_is_refused_with_the_reason_and_its_version_is_promoted_and_rolled_back": RUNS,
    "tests/flows/test_format_1.py::test_retrain_gates_against_the_old_champion_and_its_earlier_ones": RUNS,
    "tests/flows/test_other_problems.py": "trains other kinds of models, and answers with them",
    "tests/flows/test_regate.py": RUNS,
    "tests/flows/test_release.py": RUNS,
    "tests/flows/test_reruns.py": RUNS,
    "tests/integration/test_kills.py": "kills whole commands and runs them again",
    "tests/integration/test_race.py": "races for as long as it says",
    "tests/integration/test_registry_machine.py": "fifty examples of eight steps, and mutants until each is caught",
    "tests/tasks/services/process/test_memory_limit.py": "processes of their own grow until they are measured",
    "tests/tasks/services/registry/test_gc.py::test_collector_lets_others_write_before_all_is_removed": "waits for leases",
    "tests/tasks/services/storage/test_store.py::test_embedded_server_is_shared_survives_a_stop_and_keeps_its_data": (
        "starts and stops a real server twice"
    ),
    "tests/tasks/services/tracking/test_wandb_runs.py::test_unreachable_server_costs_one_warning_and_the_rest_is_offline": (
        "waits as long as W&B's own timeout"
    ),
}
"""Tests of `make test` that may take longer, or files of such tests, with the reason."""
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
    """Fail a test that took too long for `make test` here, and in the run before.

    Once may be the machine's fault. Time in which it had too few processors is not counted, whoever wanted them; where
    Linux does not measure that, and in runs without workers, nothing is counted.
    """
    if PRESSURE is None or "PYTEST_XDIST_WORKER" not in os.environ or item.get_closest_marker("slow"):
        return (yield)
    remembered = item.config.cache.mkdir("too-slow") / hashlib.sha256(item.nodeid.encode()).hexdigest()
    # Before the test, which may replace functions of Python.
    was_too_long = remembered.exists()
    begun, waited = time.monotonic(), _seconds_of_contention()
    yield
    seconds = time.monotonic() - begun - (_seconds_of_contention() - waited)
    is_again = is_too_long(item.nodeid, seconds)
    remember(remembered, was_too_long, is_again)
    if was_too_long and is_again:
        pytest.fail(
            f"It took {seconds:.1f} s, and too long in the run before; {LIMIT_SECONDS:.0f} s at most in `make test`. "
            "Share or shorten what it waits for, or give its reason in LONGER of tests/tiers.py."
        )


def remember(path: Path, was_too_long: bool, is_too_long: bool) -> None:
    """Leave a file for the next run where a test took too long in this one."""
    if is_too_long:
        path.touch()
    elif was_too_long:
        path.unlink()


def is_too_long(test: str, seconds: float) -> bool:
    name = test.partition("[")[0]
    return seconds > LIMIT_SECONDS and LONGER.keys().isdisjoint([name, name.partition("::")[0]])


def _seconds_of_contention() -> float:
    """For how long, since the machine started, something that could run had no processor."""
    if PRESSURE is None:
        return 0.0
    return int(os.pread(PRESSURE, 200, 0).split()[4].removeprefix(b"total=")) / 1e6
