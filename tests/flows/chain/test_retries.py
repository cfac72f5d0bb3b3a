"""What is tried again, by a real Prefect engine. Alone: pytest tests/flows/chain/test_retries.py."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prefect import flow
from prefect.exceptions import TerminationSignal

from flows.chain.steps import Run
from schemas.errors import (
    Conflict,
    Corrupt,
    DataError,
    Diverged,
    MemoryLimit,
    Preempted,
    TimeLimit,
    Unavailable,
    UsageError,
)
from schemas.frozen import canonical_json
from schemas.records.verdict import Verdict
from schemas.settings import Settings
from tasks.services.cache.keys import current_key
from tasks.services.cache.records import RETRIES, SERIALIZER, RecordJSON, StoreRecords, cached_task
from tasks.services.process import signals
from tasks.services.process.memory_limit import GIGABYTE, held_bytes
from tasks.services.process.signals import SIGNALS, raise_on_signals
from tasks.services.tracking.wandb_runs import TrackingContext

CALLS: list[int] = []
FAILURES: list[BaseException] = []
SENT: list[int] = []


def trivial(number: int) -> Verdict:
    """Fails as FAILURES says, one a call, then gives its result."""
    CALLS.append(number)
    if FAILURES:
        raise FAILURES.pop(0)
    return Verdict(decision="refuse", rules=(), rows=number)


def told(number: int) -> Verdict:
    CALLS.append(number)
    os.kill(os.getpid(), SENT.pop())
    # Another thread may be the one that gets the signal, and the handler runs a moment later.
    time.sleep(10)
    raise AssertionError("nothing interrupted it")


class Finalized:
    def __del__(self) -> None:
        os.kill(os.getpid(), SENT.pop())


def told_in_a_finalizer(number: int) -> Verdict:
    CALLS.append(number)
    Finalized()
    return Verdict(decision="pass", rules=(), rows=number)


def hanging(number: int) -> Verdict:
    CALLS.append(number)
    time.sleep(30)
    raise AssertionError("nothing interrupted it")


def hoarding(number: int) -> Verdict:
    CALLS.append(number)
    held = [b"x" * 50_000_000 for _ in range(20)]
    time.sleep(10)
    raise AssertionError(f"nothing interrupted it, with {len(held)} blocks")


def overtaken(number: int) -> Verdict:
    """Another worker, who took the key over, has its record there first."""
    theirs = Verdict(decision="undecidable", rules=(), rows=number)
    record = {"metadata": {"serializer": {"type": SERIALIZER}}, "result": RecordJSON().dumps(theirs).decode()}
    StoreRecords().write_path(current_key().path, canonical_json(record))
    return Verdict(decision="pass", rules=(), rows=number)


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    CALLS.clear()
    FAILURES.clear()
    SENT.clear()
    monkeypatch.setitem(RETRIES, "retry_delay_seconds", [0.01])


def take(function: Any, number: int, hours: float = 1.0) -> Verdict:
    step = cached_task("trivial", hours=hours)(function)

    @flow(name="retries", persist_result=False)
    def run() -> Verdict:
        tracking = TrackingContext(project="retries", group="retries", folder=Settings().home / "wandb")
        return Run(tracking, "retries").call("trivial", step, number=number)

    return run()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unavailable("x"), "transient"),
        (ConnectionResetError("x"), "transient"),
        (TimeoutError("x"), "transient"),
        (Preempted("x"), "preempted"),
        (DataError("x"), "data"),
        (UsageError("x"), "configuration"),
        (Corrupt("x"), "configuration"),
        (Diverged("x"), "configuration"),
        (MemoryLimit("x"), "configuration"),
        (Conflict("x"), "refusal"),
        (KeyError("x"), "bug"),
    ],
)
@pytest.mark.usefixtures("prefect_engine")
def test_kind_decides_whether_a_step_is_tried_again(error: Exception, kind: str):
    FAILURES.append(error)
    number = time.time_ns()
    if kind == "transient":
        assert take(trivial, number).rows == number
        assert [number, number] == CALLS
    else:
        with pytest.raises(type(error)):
            take(trivial, number)
        assert [number] == CALLS


@pytest.mark.usefixtures("prefect_engine")
def test_what_does_not_pass_is_tried_three_times_in_all():
    FAILURES.extend(Unavailable(f"failure {number}") for number in range(9))

    with pytest.raises(Unavailable, match="failure 2"):
        take(trivial, time.time_ns())
    assert len(CALLS) == 3


@pytest.fixture
def command() -> Iterator[None]:
    """A command's handlers of signals; pytest gets its own back."""
    # Tests in the background of a shell begin with an ignored SIGINT.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    raise_on_signals()
    yield
    raise_on_signals()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.usefixtures("prefect_engine", "command")
def test_command_that_is_told_to_end_has_its_step_on_record_and_does_not_try_again(number: int):
    SENT.append(number)

    with pytest.raises(Preempted, match=signal.Signals(number).name) as raised:
        take(told, time.time_ns())
    assert len(CALLS) == 1
    assert [record.state for record in raised.value.steps] == ["interrupted"]


@pytest.mark.usefixtures("prefect_engine", "command")
def test_sigterm_that_is_swallowed_within_a_step_ends_the_command_before_the_next():
    SENT.append(signal.SIGTERM)

    assert take(told_in_a_finalizer, time.time_ns()).decision == "pass"
    with pytest.raises(Preempted):
        take(trivial, time.time_ns())
    assert len(CALLS) == 1


@pytest.mark.usefixtures("prefect_engine")
def test_run_of_a_worker_leaves_sigterm_to_prefect(monkeypatch):
    monkeypatch.setattr(signals, "_is_command", threading.Event())
    SENT.append(signal.SIGTERM)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(TerminationSignal):
            take(told, time.time_ns())
    finally:
        signal.signal(signal.SIGTERM, before)


# The alarm clock is Prefect's here: beside pytest's own it would not ring while a step sleeps.
@pytest.mark.timeout(0)
@pytest.mark.usefixtures("prefect_engine")
def test_step_that_hangs_is_interrupted_and_told_as_such():
    with pytest.raises(TimeLimit, match="trivial: no attempt of 3 ended within 0:00:00.3") as raised:
        take(hanging, time.time_ns(), hours=0.3 / 3600)

    assert len(CALLS) == 3
    assert raised.value.exit_code == 5
    assert [record.state for record in raised.value.steps] == ["failed"]


@pytest.mark.usefixtures("prefect_engine")
def test_step_that_takes_too_much_memory_is_ended_and_not_tried_again(monkeypatch):
    monkeypatch.setenv("TUNEGATE_MEMORY_GB", str(held_bytes() / GIGABYTE + 0.5))

    with pytest.raises(MemoryLimit, match="^trivial: the run's processes held") as raised:
        take(hoarding, time.time_ns())
    assert len(CALLS) == 1
    assert [record.state for record in raised.value.steps] == ["failed"]


@pytest.mark.usefixtures("prefect_engine")
def test_late_worker_goes_on_with_the_result_that_was_first():
    assert take(overtaken, time.time_ns()).decision == "undecidable"


@pytest.mark.usefixtures("prefect_engine")
def test_refusal_is_a_result_and_is_not_asked_again():
    number = time.time_ns()

    assert take(trivial, number).decision == take(trivial, number).decision == "refuse"
    assert [number] == CALLS
