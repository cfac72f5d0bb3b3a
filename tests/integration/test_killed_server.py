"""The S3 server is killed in an upload: the champion stays whole, the same command finishes. All of it is slow.

Alone: pytest tests/integration/test_killed_server.py -m ''
"""

import json
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from schemas.errors import Unavailable
from schemas.settings import Settings
from tasks.services.local import object_store
from tasks.services.registry.versions import add_version
from tasks.services.storage.store import MULTIPART_BYTES, Store, blob_key, file_digest
from tests.integration.conftest import Place, whole_champion
from tests.tasks.services.registry.test_versions import make_manifest, promote


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
        code, _, stderr = place.run_faulted("store killed in an upload", *second)
        assert code == 5, stderr
        assert "did not answer" in stderr

        # The next command starts the server again.
        finish(place.run("-m", "flows", "pull", "tiny@champion", tmp_path / "served"))
        store = object_store.open_store(Settings(home=home))
        assert whole_champion(store, tmp_path) == last_version(first)
        check_blobs(store)

        last = last_version(finish(place.run("-m", "flows", *second)))
        assert whole_champion(store, tmp_path) == last != last_version(first)
        check_blobs(store)
    finally:
        place.run("-m", "flows", "down")
        object_store.open_store.cache_clear()


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
    store = object_store.open_store(settings)
    try:
        manifest = make_manifest(store, "served", secrets.token_bytes(MULTIPART_BYTES + 7))
        promote(store, "served", add_version(store, manifest))
        large = tmp_path / "weights"
        large.write_bytes(secrets.token_bytes(4 * MULTIPART_BYTES + 7))
        store._client.meta.events.register("before-send.s3.UploadPart", kill_at(3, settings.home))
        with pytest.raises(Unavailable, match="the next command starts it"):
            store.put_file(large)

        object_store.open_store.cache_clear()
        store = object_store.open_store(settings)
        assert whole_champion(store, tmp_path, "served") == manifest.version
        assert store.size(blob_key(file_digest(large))) is None
        assert store.holds(store.put_file(large))
        assert store.digest(blob_key(file_digest(large))) == file_digest(large)
    finally:
        object_store.stop(settings)
        object_store.open_store.cache_clear()


def kill_at(call: int, home: Path) -> Callable[..., None]:
    """Kill the server with the given request."""
    calls: list[Any] = []

    def meet(request: Any, **_: Any) -> None:
        calls.append(request)
        if len(calls) == call:
            os.kill(object_store.find_server(home)[0].pid, signal.SIGKILL)

    return meet
