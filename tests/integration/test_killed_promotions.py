"""A promoter or the S3 server is killed: the champion stays whole, the next run finishes. All of it is slow.

Alone: pytest tests/integration/test_killed_promotions.py -m ''
"""

import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from schemas.errors import Unavailable
from schemas.settings import Settings
from tasks.promotion import make_event_by_hand
from tasks.services import embedded
from tasks.services.registry import add_version, append_event, read_manifest, resolve
from tasks.services.store import MULTIPART_BYTES, Store, blob_key, file_digest
from tests.flows.command import last_json, run
from tests.integration.conftest import Place, new_place
from tests.integration.faulted import EVENTS, PROMOTIONS, RELEASES
from tests.tasks.services.test_registry import make_manifest, promote

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
            event = make_event_by_hand(log, "override", "champion", version, "the test begins")
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
    embedded.open_store.cache_clear()


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
    process = place.start("tests/integration/faulted.py", point, *promoted.arguments(command))
    while process.poll() is None:
        assert whole_champion(place.store, tmp_path) in (old, new)
        time.sleep(0.5)
    _, stderr = process.communicate()

    assert process.returncode == -signal.SIGKILL, stderr
    assert whole_champion(place.store, tmp_path) == (new if point == WRITTEN else old)
    pulled = run("pull", "tiny@champion", tmp_path / "served")
    assert pulled.exit_code == 0, pulled.stderr

    again = run(*promoted.arguments(command))
    told_already = point == WRITTEN and command != "run"
    assert again.exit_code == (2 if told_already else 0), again.stderr
    assert ("already" in again.stderr) == told_already
    assert whole_champion(place.store, tmp_path) == new
    assert len(place.log().events) == before + 1


def whole_champion(store: Store, folder: Path, model: str = "tiny") -> str:
    """The champion's version, once every byte of it was fetched anew and checked."""
    version = resolve(store, model, "champion")
    assert version is not None
    reader = Store(store.address, folder / f"reader-{secrets.token_hex(4)}")
    for blob in read_manifest(reader, model, version).files.values():
        reader.fetch(blob)
    shutil.rmtree(reader.local)
    return version


@pytest.fixture(scope="module")
def large_model(tiny_model: Path, tmp_path_factory) -> Path:
    """The tiny model with so many words that its file is sent in three parts."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("large") / "model"
    shutil.copytree(tiny_model, folder)
    config = BertConfig.from_pretrained(folder)
    config.vocab_size = 5 * MULTIPART_BYTES // (2 * 4 * config.hidden_size)
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_server_killed_while_a_model_is_uploaded(prefect_engine, make_recipe, large_model: Path, tmp_path: Path):
    home = tmp_path / "home"
    place = Place(None, {"TUNEGATE_HOME": str(home), "PREFECT_API_URL": PREFECT_API_URL.value()})
    (tmp_path / "base").symlink_to(large_model)
    gate = {"at_least": 0.1, "non_inferiority_margin": 0.9}
    recipe = make_recipe("tiny", rows_seed=301, gate=gate)
    short = ("--set", "training.epochs=1", "--set", "training.early_stopping=null")
    try:
        first = finish(place.run("-m", "flows", "run", recipe, *short, "--set", "training.seeds=[1]", "--json"))
        second = ("run", recipe, *short, "--set", "training.seeds=[2]", "--json")
        code, _, stderr = place.run("tests/integration/faulted.py", "store killed in an upload", *second)
        assert code == 5, stderr
        assert "did not answer" in stderr

        # The next command starts the server again.
        finish(place.run("-m", "flows", "pull", "tiny@champion", tmp_path / "served"))
        store = embedded.open_store(Settings(home=home))
        assert whole_champion(store, tmp_path) == last_version(first)
        check_blobs(store)

        last = last_version(finish(place.run("-m", "flows", *second)))
        assert whole_champion(store, tmp_path) == last != last_version(first)
        check_blobs(store)
    finally:
        place.run("-m", "flows", "down")
        embedded.open_store.cache_clear()


def finish(ended: tuple[int, str, str]) -> str:
    code, stdout, stderr = ended
    assert code == 0, stderr
    return stdout


def last_version(stdout: str) -> str:

    version: str = json.loads(stdout.strip().splitlines()[-1])["model"]["version"]
    return version


def check_blobs(store: Store) -> None:
    """What can be seen is whole."""
    for key in store.list_keys("blobs/"):
        assert store.digest(key) == key.rpartition("/")[2]


@pytest.mark.slow
def test_server_killed_between_parts_leaves_the_champion_and_nothing_by_halves(tmp_path: Path):
    settings = Settings(home=tmp_path / "home")
    store = embedded.open_store(settings)
    try:
        manifest = make_manifest(store, "served", secrets.token_bytes(MULTIPART_BYTES + 7))
        promote(store, "served", add_version(store, manifest))
        large = tmp_path / "weights"
        large.write_bytes(secrets.token_bytes(4 * MULTIPART_BYTES + 7))
        store._client.meta.events.register("before-send.s3.UploadPart", kill_at(3, settings.home))
        with pytest.raises(Unavailable, match="the next command starts it"):
            store.put_file(large)

        embedded.open_store.cache_clear()
        store = embedded.open_store(settings)
        assert whole_champion(store, tmp_path, "served") == manifest.version
        assert store.size(blob_key(file_digest(large))) is None
        assert store.holds(store.put_file(large))
        assert store.digest(blob_key(file_digest(large))) == file_digest(large)
    finally:
        embedded.stop(settings)
        embedded.open_store.cache_clear()


def kill_at(call: int, home: Path) -> Callable[..., None]:
    """Kill the server with the given request."""
    calls: list[Any] = []

    def meet(request: Any, **_: Any) -> None:
        calls.append(request)
        if len(calls) == call:
            os.kill(json.loads((home / "s3.state.json").read_text())["pid"], signal.SIGKILL)

    return meet
