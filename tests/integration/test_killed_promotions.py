"""A promoter is killed at each step: the champion stays whole, the same command finishes. All of it is slow.

Alone: pytest tests/integration/test_killed_promotions.py -m ''
"""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.services.local import object_store
from tasks.services.registry.log import next_event
from tasks.services.registry.versions import append_event
from tasks.services.storage.store import Store
from tests.flows.command import last_json, run
from tests.integration.conftest import Place, new_place, whole_champion
from tests.integration.faulted import EVENTS, PROMOTIONS, RELEASES

WRITTEN = "event written"
CASES = [
    *(("run", point) for point in (*PROMOTIONS, *EVENTS)),
    *((command, point) for command in ("rollback", "override") for point in (*RELEASES, *EVENTS)),
]


@dataclass
class Promoted:
    """A place where `champion` has named two versions, and the recipe that makes the second."""

    place: Place
    recipe: Path
    versions: tuple[str, str]

    def arguments(self, command: str) -> tuple[object, ...]:
        first, second = self.versions
        return {
            "run": ("run", self.recipe, "--set", "training.seeds=[2]"),
            "rollback": ("rollback", "tiny", "--to", first, "--reason", "wrong"),
            "override": ("promote", "tiny", second, "--override", "--reason", "right"),
        }[command]

    def name(self, version: str) -> None:
        """Make the alias name a version; the step that loads it forgets what it found."""
        self.place.store.delete(self.place.store.list_keys("cache/load/"))
        log = self.place.log()
        if log.aliases["champion"] != version:
            event = next_event(log, "champion", version, "the test begins", "override")
            append_event(self.place.store, "tiny", event)


@pytest.fixture(scope="module")
def promoted(store: Store, prefect_engine, make_module_recipe, tmp_path_factory) -> Iterator[Promoted]:
    place = new_place(store, tmp_path_factory.mktemp("promoted"))
    recipe = make_module_recipe("tiny", rows_seed=301, gate={"at_least": 0.5, "non_inferiority_margin": 0.5})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.environment.items():
            if name != "PREFECT_API_URL":
                patch.setenv(name, value)
        runs = [run("run", recipe, "--json", "--set", f"training.seeds=[{seed}]") for seed in (1, 2)]
        assert [one.exit_code for one in runs] == [0, 0], runs[-1].stderr
        first, second = (last_json(one)["model"]["version"] for one in runs)
        yield Promoted(place, recipe, (first, second))
    object_store.open_store.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize(("command", "point"), CASES)
def test_killed_promotion_leaves_a_whole_champion_and_the_same_command_ends_it(
    promoted: Promoted, tmp_path: Path, command: str, point: str
):
    place, (old, new) = promoted.place, promoted.versions
    if command == "rollback":
        old, new = new, old
    promoted.name(old)
    before = len(place.log().events)
    with ThreadPoolExecutor() as pool:
        killed = pool.submit(place.run_faulted, point, *promoted.arguments(command))
        while not killed.done():
            assert whole_champion(place.store, tmp_path) in (old, new)
            time.sleep(0.5)
    code, _, stderr = killed.result()

    assert code == -signal.SIGKILL, stderr
    assert whole_champion(place.store, tmp_path) == (new if point == WRITTEN else old)
    pulled = run("pull", "tiny@champion", tmp_path / "served")
    assert pulled.exit_code == 0, pulled.stderr

    again = run(*promoted.arguments(command))
    told_already = point == WRITTEN and command != "run"
    assert again.exit_code == (2 if told_already else 0), again.stderr
    assert ("already" in again.stderr) == told_already
    assert whole_champion(place.store, tmp_path) == new
    assert len(place.log().events) == before + 1
