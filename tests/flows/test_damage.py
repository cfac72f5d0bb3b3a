"""Stored bytes that are not what was promoted, by the command line. Alone: pytest tests/flows/test_damage.py [-m ''].

Whatever is wrong with a blob, a manifest or an event: `verify` finds it, `pull` and `predict` refuse it, each with exit 5
and the key. A verdict that the log cites is found too; who uses the model does without.
"""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.records.versions import Manifest
from schemas.settings import Settings
from tasks.services.local import object_store
from tasks.services.registry import versions
from tasks.services.registry.log import read_log
from tasks.services.storage.store import Store, blob_key
from tests.flows.command import run
from tests.tasks.services.registry.test_versions import make_manifest, promote

EVENTS = 3


@pytest.fixture
def promoted(store: Store, tmp_path: Path, monkeypatch) -> Iterator[tuple[Store, Manifest, Manifest]]:
    """A model with two versions; the champion is the second, named by the last of three events.

    The commands have a home of their own, so no local copy stands in for what the store holds.
    """
    for name, value in {
        "TUNEGATE_HOME": str(tmp_path / "home"),
        "TUNEGATE_S3_ENDPOINT": store.address.endpoint,
        "AWS_ACCESS_KEY_ID": store.address.access_key,
        "AWS_SECRET_ACCESS_KEY": store.address.secret_key,
    }.items():
        monkeypatch.setenv(name, value)
    model = f"damaged-{secrets.token_hex(4)}"
    older, newer = (make_manifest(store, model, secrets.token_bytes(3_000)) for _ in range(2))
    for manifest in (older, newer, newer):
        promote(store, model, versions.add_version(store, manifest), secrets.token_bytes(100))
    yield store, older, newer
    object_store.open_store.cache_clear()


def flip_first(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def flip_middle(content: bytes) -> bytes:
    """In a text it stays one: of small letters, digits and quotes none becomes a control character."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def flip_last(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    return b""


ALTERED = (flip_middle, *(pytest.param(alter, marks=pytest.mark.slow) for alter in (flip_first, flip_last, cut, empty)))


def event_key(model: str, number: int) -> str:
    return f"models/{model}/log/{number:016d}.json"


def manifest_key(manifest: Manifest) -> str:
    return f"models/{manifest.model}/versions/{manifest.version}/manifest.json"


def weights_key(manifest: Manifest) -> str:
    return blob_key(manifest.files["model.safetensors"].digest)


def key_of(what: str, manifest: Manifest) -> str:
    if what == "blob":
        return weights_key(manifest)
    return manifest_key(manifest) if what == "manifest" else event_key(manifest.model, int(what[-1]))


OBJECTS = ("blob", "manifest", *(f"event {number}" for number in range(1, EVENTS + 1)))


@pytest.mark.parametrize("alter", ALTERED)
@pytest.mark.parametrize("what", OBJECTS)
def test_altered_object_is_found_and_refused(promoted, tmp_path: Path, what: str, alter: Callable[[bytes], bytes]):
    store, _, newer = promoted
    key = key_of(what, newer)
    store.replace(key, alter(store.read(key)))

    check_every_command(newer.model, key, tmp_path)


@pytest.mark.parametrize("alter", [*ALTERED, None])
def test_verdict_that_is_altered_or_lost_is_found_and_keeps_nobody_from_the_model(promoted, tmp_path: Path, alter):
    store, _, newer = promoted
    key = blob_key(read_log(store, newer.model).events[0].gate_sha256)
    content = store.read(key)
    store.delete([key])
    if alter:
        store.replace(key, alter(content))
    found = run("verify", newer.model)

    assert (found.exit_code, f"{key} (a verdict of the log)" in found.stdout) == (5, True), found.stderr
    assert run("pull", f"{newer.model}@champion", tmp_path / "served").exit_code == 0


def test_one_letter_of_the_newest_events_reason_is_found_and_refused(promoted, tmp_path: Path):
    store, _, newer = promoted
    key = event_key(newer.model, EVENTS)
    store.replace(key, store.read(key).replace(b'"reason":"test"', b'"reason":"tent"'))

    check_every_command(newer.model, key, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("what", OBJECTS)
def test_lost_object_is_found_and_refused(promoted, tmp_path: Path, what: str):
    store, _, newer = promoted
    key = key_of(what, newer)
    store.delete([key])

    # A gap is told by the event that stands where the lost one was expected; behind the newest there is none.
    number = int(what[-1]) if what.startswith("event") else EVENTS
    named = event_key(newer.model, number + 1) if number < EVENTS else key
    check_every_command(newer.model, named, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 3), (1, 3)])
def test_events_that_were_swapped_are_found_and_refused(promoted, tmp_path: Path, one: int, other: int):
    store, _, newer = promoted
    keys = [event_key(newer.model, number) for number in (one, other)]
    for key, content in zip(keys, [store.read(key) for key in keys][::-1], strict=True):
        store.replace(key, content)

    check_every_command(newer.model, keys[0], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["blob", "manifest"])
def test_object_of_the_version_before_in_its_place_is_found_and_refused(promoted, tmp_path: Path, what: str):
    store, older, newer = promoted
    store.replace(key_of(what, newer), store.read(key_of(what, older)))

    check_every_command(newer.model, key_of(what, newer), tmp_path)


def test_event_of_another_model_in_its_place_is_found_and_refused(promoted, tmp_path: Path):
    store, _, newer = promoted
    other = make_manifest(store, f"other-{secrets.token_hex(4)}", secrets.token_bytes(10))
    for _ in range(EVENTS):
        promote(store, other.model, versions.add_version(store, other))
    key = event_key(newer.model, EVENTS)
    store.replace(key, store.read(event_key(other.model, EVENTS)))

    check_every_command(newer.model, key, tmp_path)


def check_every_command(model: str, key: str, folder: Path) -> None:
    """The champion is the second version, so each command meets whatever is wrong with it or with the log."""
    champion = f"{model}@champion"
    told = {
        "verify all": run("verify", model),
        "verify": run("verify", champion),
        "pull": run("pull", champion, folder / "served"),
        "predict": run("predict", champion, "a text"),
    }
    for command, found in told.items():
        assert (command, found.exit_code) == (command, 5), found.stderr
        assert key in found.stdout + found.stderr, command
        assert "Traceback" not in found.stderr
    assert not (folder / "served").exists()
    assert Settings().home.is_relative_to(folder)
