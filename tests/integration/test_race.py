"""Processes that promote at the same time: no number lost, none twice. Alone: pytest tests/integration/test_race.py [-m '']

The long one: pytest tests/integration/test_race.py -m slow
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import pytest

from schemas.errors import Corrupt
from schemas.records.versions import ModelLog
from tasks.services.registry.log import read_log
from tasks.services.registry.versions import read_manifest, resolve
from tasks.services.storage.store import Store
from tests.integration.racing import gate_of, overwrite, race

PATIENCE = 120


@dataclass
class Race:
    """What racers say they won and what a reader saw meanwhile."""

    model: str
    seconds: float
    won: list[dict[int, str]] = field(default_factory=list)
    lost: int = 0
    reads: int = 0

    def describe(self, log: ModelLog) -> str:
        authors = sorted(len(numbers) for numbers in self.won)
        return (
            f"{len(self.won)} processes, {self.seconds:.0f} s: {len(log.events)} events, numbered 1 to "
            f"{log.events[-1].sequence} without a gap, one author each; {authors[0]} to {authors[-1]} a process, "
            f"{self.lost} times a number was lost and the candidate judged again; {self.reads} reads of a whole champion"
        )


@pytest.fixture(scope="module")
def show(pytestconfig) -> Iterator[Callable[[str], None]]:
    """Lines that are shown when the module is done."""
    lines: list[str] = []
    yield lines.append
    with pytestconfig.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print("", *lines, sep="\n")


def run_race(store: Store, folder: Path, processes: int, seconds: float, create=Store.create) -> Race:
    """Let processes race for a model of their own, and read its champion meanwhile."""
    found = Race(f"raced-{secrets.token_hex(4)}", seconds)
    spawn = get_context("spawn")
    line = spawn.Barrier(processes + 1)
    folders = [folder / str(number) for number in range(processes)]
    for own in folders:
        own.mkdir()
    racers = [
        spawn.Process(target=race, args=(store.address, found.model, own, line, seconds, create), daemon=True)
        for own in folders
    ]
    for racer in racers:
        racer.start()
    line.wait(PATIENCE)
    while any(racer.is_alive() for racer in racers):
        found.reads += reads_whole(store, found.model)
        time.sleep(0.5)
    for racer in racers:
        racer.join(PATIENCE)
    assert [racer.exitcode for racer in racers] == [0] * processes
    for own in folders:
        told = json.loads((own / "won.json").read_text())
        found.won.append({int(number): nonce for number, nonce in told["won"].items()})
        found.lost += told["lost"]
    return found


def reads_whole(store: Store, model: str) -> bool:
    """Read what services would serve; False before there is a champion. Raises StoreError where it is not whole."""
    version = resolve(store, model, "champion")
    if version is not None:
        for blob in read_manifest(store, model, version).files.values():
            store.fetch(blob)
    return version is not None


def check(store: Store, found: Race) -> ModelLog:
    """Compare what racers say with what is stored. `read_log` itself refuses a gap and a broken chain."""
    log = read_log(store, found.model)
    numbers = [number for own in found.won for number in own]
    assert sorted(numbers) == [event.sequence for event in log.events] == list(range(1, len(log.events) + 1))
    nonces = {number: nonce for own in found.won for number, nonce in own.items()}
    assert {event.sequence: event.nonce for event in log.events} == nonces

    champion = None
    for event in log.events:
        assert event.from_version == champion
        assert event.gate_sha256 == gate_of(event.to_version, champion)
        champion = event.to_version
    assert resolve(store, found.model, "champion") == champion
    with ThreadPoolExecutor(8) as readers:
        manifests = list(readers.map(lambda event: read_manifest(store, found.model, event.to_version), log.events))
        assert all(readers.map(store.holds, [blob for one in manifests for blob in one.files.values()]))
    return log


@pytest.mark.parametrize(
    ("processes", "seconds", "least"), [(4, 4, 4), pytest.param(16, 60, 16, marks=pytest.mark.slow)]
)
def test_racing_promoters_leave_one_log_without_a_gap(
    store: Store, tmp_path: Path, show, processes: int, seconds: float, least: int
):
    found = run_race(store, tmp_path, processes, seconds)
    log = check(store, found)

    show(found.describe(log))
    assert len(log.events) >= least
    assert found.lost > 0
    assert found.reads > 0


def test_write_without_its_condition_is_caught(store: Store, tmp_path: Path, show):
    """The test of the test: racers whose events overwrite each other's. On a busy machine they may take turns."""
    with pytest.raises((AssertionError, Corrupt)) as caught:
        for seconds in (1, 4, 16):
            folder = tmp_path / str(seconds)
            folder.mkdir()
            check(store, run_race(store, folder, 4, seconds, create=overwrite))
    show(f"events that overwrite: {str(caught.value).splitlines()[0][:100]}")
