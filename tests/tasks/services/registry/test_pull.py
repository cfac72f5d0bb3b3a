"""What a pull leaves alone, and two at once. Alone: pytest tests/tasks/services/registry/test_pull.py."""

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.records.versions import Manifest
from tasks.services.registry import pull
from tasks.services.registry import versions as registry
from tasks.services.registry.pull import pull_version
from tasks.services.storage.store import Store, file_digest
from tests.tasks.services.registry.test_versions import make_manifest


@pytest.fixture
def versions(store: Store) -> list[Manifest]:
    """Three versions of a model of its own."""
    name = f"model-{secrets.token_hex(4)}"
    found = [make_manifest(store, name, secrets.token_bytes(300)) for _ in range(3)]
    for manifest in found:
        registry.add_version(store, manifest)
    return found


def holds(folder: Path, manifest: Manifest) -> bool:
    (file,) = manifest.files
    return file_digest(folder / file) == manifest.files[file].digest


def pull_each(store: Store, versions: list[Manifest], folder: Path) -> None:
    for manifest in versions:
        pull_version(store, manifest.model, manifest.version, folder)


def test_pull_removes_no_folder_of_another_link_or_of_the_user(store: Store, versions: list[Manifest], tmp_path: Path):
    others = [tmp_path / ".served-whatever", tmp_path / f".served-{'0' * 12}-mine", tmp_path / ".served-0123"]
    for folder in others:
        folder.mkdir()
    pull_each(store, versions[:1], tmp_path / "served-prod")
    pull_each(store, versions, tmp_path / "served")

    assert holds(tmp_path / "served-prod", versions[0])
    assert holds(tmp_path / "served", versions[2])
    assert all(folder.is_dir() for folder in others)


@pytest.mark.parametrize("target", ["releases/7", ".other-0123456789ab", "/srv/.served-0123456789ab"])
def test_link_that_no_pull_has_made_is_not_replaced(
    store: Store, versions: list[Manifest], tmp_path: Path, target: str
):
    folder = tmp_path / "served"
    folder.symlink_to(target)

    with pytest.raises(UsageError, match=f"is a link to {target}; name one"):
        pull_each(store, versions[:1], folder)
    assert str(folder.readlink()) == target


def test_name_of_a_link_is_no_pattern(store: Store, versions: list[Manifest], tmp_path: Path):
    pull_each(store, versions[:1], tmp_path / "sa")
    pull_each(store, versions, tmp_path / "s[ab]")
    pull_each(store, versions, tmp_path / "s.")

    assert holds(tmp_path / "sa", versions[0])
    assert len(list(tmp_path.glob(".s[[]ab]-*"))) == 2


def test_version_before_stays_beside_and_older_ones_go(
    store: Store, versions: list[Manifest], tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    pull_each(store, versions, Path("served"))

    assert {path.name for path in tmp_path.glob(".served-*")} == {f".served-{one.version[:12]}" for one in versions[1:]}


def test_same_version_again_leaves_the_one_before(store: Store, versions: list[Manifest], tmp_path: Path):
    pull_each(store, [*versions[:2], versions[1]], tmp_path / "served")

    assert holds(tmp_path / f".served-{versions[0].version[:12]}", versions[0])


def test_pulls_into_one_folder_take_turns(store: Store, versions: list[Manifest], tmp_path: Path, monkeypatch):
    """The second comes when the first has made its folder and no file in it yet."""
    is_filling, go_on, place = threading.Event(), threading.Event(), pull._place

    def slow(store: Store, blob, path: Path) -> bool:
        if versions[1].version[:12] in str(path):
            is_filling.set()
            assert go_on.wait(60)
        return place(store, blob, path)

    monkeypatch.setattr(pull, "_place", slow)
    pull_each(store, versions[:1], tmp_path / "served")
    with ThreadPoolExecutor() as pullers:
        first = pullers.submit(pull_each, store, versions[1:2], tmp_path / "served")
        assert is_filling.wait(60)
        second = pullers.submit(pull_each, store, versions[2:], tmp_path / "served")
        time.sleep(0.5)
        waited = not second.done()
        go_on.set()
    first.result()
    second.result()

    assert waited
    assert holds(tmp_path / "served", versions[2])
    assert holds(tmp_path / f".served-{versions[1].version[:12]}", versions[1])
