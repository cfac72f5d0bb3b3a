"""The registry under crashes, lost requests and a collector, and whether that test would notice a broken registry.

Alone: pytest tests/integration/test_registry_machine.py
"""

import contextlib
import dataclasses
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tasks.services.registry import versions
from tasks.services.storage import leases
from tasks.services.storage.store import Store
from tests.integration.registry_machine import WORKERS, AliasFirst, OverwritingWorker, RegistryMachine
from tests.integration.registry_worker import Worker
from tests.tasks.services.registry.meeting import pause

SETTINGS = settings(
    deadline=None,
    stateful_step_count=10,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    report_multiple_bugs=False,
)

# Few steps, since all is condemned when they begin; the same ones each time, since they must find something.
MUTANTS = settings(SETTINGS, max_examples=500, stateful_step_count=4, phases=[Phase.generate], derandomize=True)
STORY, COMPLETE = "log_is_the_one_story_of_its_authors", "what_is_named_or_pinned_is_complete"


@pytest.fixture
def bucket(store: Store, tmp_path: Path, monkeypatch) -> Store:
    """A bucket of its own: its collector takes what nothing names."""
    # A collector that died must not be waited for as long as a real one.
    monkeypatch.setattr(leases, "SILENCE_SECONDS", 0.02)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(leases, "_pause", pause)
    made = Store(dataclasses.replace(store.address, bucket="registry-machine"), tmp_path / "blobs")
    made.create_bucket()
    monkeypatch.setattr(RegistryMachine, "store", made, raising=False)
    monkeypatch.setattr(RegistryMachine, "beginnings", [], raising=False)
    # Clients take longer to make than an example does.
    monkeypatch.setattr(RegistryMachine, "workers", workers(Worker, made, tmp_path), raising=False)
    return made


def workers(kind: type[Worker], bucket: Store, folder: Path) -> list[Worker]:
    return [kind(bucket, folder) for _ in range(WORKERS)]


@pytest.mark.parametrize(
    ("max_examples", "steps"), [(50, 8), pytest.param(200, 20, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])]
)
def test_registry_holds_what_it_promises(bucket: Store, max_examples: int, steps: int):
    run_state_machine_as_test(
        RegistryMachine, settings=settings(SETTINGS, max_examples=max_examples, stateful_step_count=steps)
    )


class Promoters(RegistryMachine):
    """Little else than those who promote."""

    read = pin = unpin = meet_collector = collect_before_an_event = None


def test_unconditional_put_is_caught(bucket: Store, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(RegistryMachine, "workers", workers(OverwritingWorker, bucket, tmp_path))
    assert_caught(Promoters, STORY)


def test_alias_before_manifest_is_caught(bucket: Store):
    assert_caught(AliasFirst, COMPLETE)


class Meetings(RegistryMachine):
    """Little else than what brings writers and collectors together."""

    read = roll_back = gate = pin = unpin = promote = None


def test_writer_that_waits_for_no_collector_is_caught(bucket: Store, monkeypatch):
    monkeypatch.setattr(versions, "wait_until_free", lambda store, path: None)
    assert_caught(Meetings, COMPLETE)


def test_writer_that_leaves_a_paused_collector_its_lease_is_caught(bucket: Store, monkeypatch):
    def wait(store: Store, path: str) -> None:
        watch = leases._Watch(store, path)
        while watch.free_number() is None:
            leases._pause()

    monkeypatch.setattr(versions, "wait_until_free", wait)
    assert_caught(Meetings, COMPLETE)


def test_promoter_that_holds_nothing_is_caught(bucket: Store, monkeypatch):
    monkeypatch.setattr(versions, "held", lambda *names: contextlib.nullcontext())
    assert_caught(Meetings, COMPLETE)


def assert_caught(machine: type[RegistryMachine], invariant: str) -> None:
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(machine, settings=MUTANTS)
    assert caught.traceback[-1].name == invariant
