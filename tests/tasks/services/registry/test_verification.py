"""Whether stored bytes are what was promoted. Alone: pytest tests/tasks/services/registry/test_verification.py."""

import secrets
from collections.abc import Iterator

import pytest

from schemas.errors import Corrupt, Unavailable, UsageError
from schemas.records.versions import Manifest
from tasks.services.registry import versions as registry
from tasks.services.registry.log import read_log
from tasks.services.registry.pull import pull_version
from tasks.services.registry.verification import check_version, find_faults, find_faults_of_model, list_retired
from tasks.services.storage.store import Store, blob_key, file_digest
from tests.tasks.services.registry.test_versions import make_manifest, promote
from tests.tasks.services.storage.faulty_store import Fault, FaultyStore


@pytest.fixture
def version(store: Store) -> Iterator[Manifest]:
    """A promoted version of a model of its own, with a file that nobody else has; gone, with its damage, afterwards."""
    manifest = make_manifest(store, f"model-{secrets.token_hex(4)}", secrets.token_bytes(3_000))
    promote(store, manifest.model, registry.add_version(store, manifest), secrets.token_bytes(100))
    yield manifest
    store.delete(store.list_keys(f"models/{manifest.model}/"))


def keys_of(store: Store, version: Manifest) -> dict[str, str]:
    (blob,) = version.files.values()
    return {
        "blob": blob_key(blob.digest),
        "verdict": blob_key(read_log(store, version.model).events[0].gate_sha256),
        "manifest": f"models/{version.model}/versions/{version.version}/manifest.json",
        "event": f"models/{version.model}/log/{1:016d}.json",
    }


def flip(store: Store, key: str) -> None:
    """Alter the last byte but one, whatever it is."""
    content = bytearray(store.read(key) or b"")
    content[-2] ^= 1
    store.replace(key, bytes(content))


def test_version_as_it_was_promoted_has_no_faults(store: Store, version: Manifest):
    assert find_faults(store, version.model, version.version) == []
    assert list(find_faults_of_model(store, version.model)) == [("log", []), (version.version, [])]


@pytest.mark.parametrize("what", ["blob", "manifest", "event", "verdict"])
def test_flipped_byte_is_found_with_its_key(store: Store, version: Manifest, what: str):
    key = keys_of(store, version)[what]
    flip(store, key)
    faults = [fault for _, wrong in find_faults_of_model(store, version.model) for fault in wrong]

    assert len(faults) == 1
    assert key in faults[0]


@pytest.mark.parametrize("what", ["blob", "manifest"])
def test_lost_object_is_found_with_its_key(store: Store, version: Manifest, what: str):
    key = keys_of(store, version)[what]
    store.delete([key])

    with pytest.raises(Corrupt, match=key):
        check_version(store, version.model, version.version)


@pytest.mark.parametrize(
    ("what", "check"),
    [
        ("blob", check_version),
        ("manifest", check_version),
        ("manifest", find_faults),
        ("event", lambda store, name, _: list(find_faults_of_model(store, name))),
        ("event", lambda store, name, _: list_retired(store, name)),
    ],
)
def test_outage_is_no_damage(store: Store, version: Manifest, tmp_path, what: str, check):
    faulty = FaultyStore(store, tmp_path)
    faulty.faults.append(Fault("GetObject", "error", key=keys_of(store, version)[what], times=99))

    with pytest.raises(Unavailable):
        check(faulty, version.model, version.version)


def test_version_that_a_collection_takes_meanwhile_is_no_fault(store: Store, version: Manifest):
    others = [make_manifest(store, version.model, secrets.token_bytes(100)) for _ in range(2)]
    versions = [registry.add_version(store, manifest) for manifest in others]
    found = find_faults_of_model(store, version.model)
    checked = dict([next(found), next(found)])
    gone = next(version for version in versions if version not in checked)
    store.delete([f"models/{version.model}/versions/{gone}/manifest.json"])
    checked |= dict(found)

    assert checked == {"log": [], version.version: [], **{each: [] for each in versions if each != gone}}


def test_pulled_folder_holds_the_files_and_fetches_only_what_is_missing(store: Store, version: Manifest, tmp_path):
    folder = tmp_path / "served"
    ((name, blob),) = version.files.items()

    assert pull_version(store, version.model, version.version, folder) == 1
    assert (folder / name).read_bytes() == store.fetch(blob).read_bytes()
    assert pull_version(store, version.model, version.version, folder) == 0
    (folder / name).write_bytes(b"altered by hand")
    assert pull_version(store, version.model, version.version, folder) == 1


def test_new_version_takes_the_folder_at_once_and_a_refused_one_leaves_it(store: Store, version: Manifest, tmp_path):
    folder, name = tmp_path / "served", version.model
    pull_version(store, name, version.version, folder)
    newer = make_manifest(store, name, secrets.token_bytes(3_000))
    registry.add_version(store, newer)
    (blob,) = newer.files.values()
    content = store.read(blob_key(blob.digest))
    flip(store, blob_key(blob.digest))
    store.fetch(blob).unlink()

    with pytest.raises(Corrupt, match=blob.digest):
        pull_version(store, name, newer.version, folder)
    assert file_digest(folder / "model.safetensors") == version.files["model.safetensors"].digest
    store.replace(blob_key(blob.digest), content)
    pull_version(store, name, newer.version, folder)
    assert file_digest(folder / "model.safetensors") == blob.digest
    assert folder.is_symlink()


def test_folder_of_somebody_else_is_not_replaced(store: Store, version: Manifest, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")

    with pytest.raises(UsageError, match="a folder of its own"):
        pull_version(store, version.model, version.version, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_served_file_is_not_shared_with_a_folder_it_was_stored_from(store: Store, tmp_path):
    work = tmp_path / "model.safetensors"
    work.write_bytes(secrets.token_bytes(3_000))
    manifest = make_manifest(store, f"model-{secrets.token_hex(4)}").model_copy(
        update={"files": {"model.safetensors": store.put_file(work)}}
    )
    pull_version(store, manifest.model, registry.add_version(store, manifest), tmp_path / "served")
    work.write_bytes(b"the next training")

    assert file_digest(tmp_path / "served" / work.name) == manifest.files[work.name].digest


def test_served_file_that_was_fetched_takes_no_second_place_on_the_disk(store: Store, version: Manifest, tmp_path):
    remote = Store(store.address, tmp_path / "blobs")
    (blob,) = version.files.values()
    pull_version(remote, version.model, version.version, tmp_path / "served")

    assert (tmp_path / "served" / "model.safetensors").samefile(remote.fetch(blob))
