"""The registry under crashes, lost requests and a collector, and whether that test would notice a broken registry.

Alone: pytest tests/integration/test_registry_machine.py
"""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tasks.services import leases
from tasks.services.store import Store
from tests.integration.registry_machine import AliasFirst, Overwriting, RegistryMachine

SETTINGS = settings(deadline=None, stateful_step_count=15, suppress_health_check=list(HealthCheck), print_blob=False)


@pytest.fixture
def bucket(store: Store, tmp_path: Path, monkeypatch) -> Store:
    """A bucket of its own: its collector takes what nothing names."""
    # A collector that died must not be waited for as long as a real one.
    monkeypatch.setattr(leases, "SILENCE_SECONDS", 0.02)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.005)
    made = Store(dataclasses.replace(store.address, bucket="registry-machine"), tmp_path / "blobs")
    made.create_bucket()
    monkeypatch.setattr(RegistryMachine, "store", made, raising=False)
    return made


@pytest.mark.parametrize("max_examples", [50, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])])
def test_registry_holds_what_it_promises(bucket: Store, max_examples: int):
    run_state_machine_as_test(RegistryMachine, settings=settings(SETTINGS, max_examples=max_examples))


@pytest.mark.parametrize("broken", [Overwriting, AliasFirst])
def test_broken_registry_is_caught(bucket: Store, broken: type[RegistryMachine]):
    with pytest.raises(AssertionError):
        run_state_machine_as_test(broken, settings=settings(SETTINGS, max_examples=500, phases=[Phase.generate]))
