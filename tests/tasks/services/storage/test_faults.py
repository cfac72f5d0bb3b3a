"""The store under network faults, each injected into real requests. Alone: pytest tests/tasks/services/storage/test_faults.py."""

import json
import secrets
from pathlib import Path

import pytest

from schemas.errors import Corrupt, StoreError, Unavailable
from tasks.services.cache import checkpoints
from tasks.services.storage.s3 import connect
from tasks.services.storage.store import MULTIPART_BYTES, Store, blob_key, file_digest
from tests.tasks.services.storage.faulty_store import Fault, FaultyStore

NAMES = ("model.safetensors", "state.json")


@pytest.fixture
def faulty(store: Store, tmp_path: Path) -> FaultyStore:
    return FaultyStore(store, tmp_path / "faulty")


@pytest.fixture
def content() -> bytes:
    return secrets.token_bytes(1000)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(secrets.token_bytes(2 * MULTIPART_BYTES + 5))
    return path


@pytest.mark.parametrize("kind", ["error", "lost connection", "time-out after success"])
def test_blob_is_written_in_spite_of_a_passing_fault(faulty: FaultyStore, store: Store, content: bytes, kind):
    faulty.faults.append(Fault("PutObject", kind, key="blobs/"))
    blob = faulty.put_bytes(content)

    assert store.holds(blob)
    assert faulty.faults[0].times == 0


@pytest.mark.parametrize("kind", ["error", "lost connection", "time-out after success"])
def test_created_once_and_known_as_ours_whatever_the_answer(faulty: FaultyStore, store: Store, content: bytes, kind):
    key = f"faults/{secrets.token_hex(8)}"
    faulty.faults.append(Fault("PutObject", kind, key=key))

    assert faulty.create(key, content)
    assert store.read(key) == content
    assert not faulty.create(key, b"other")


def test_refusal_is_told_at_once_and_not_asked_again(faulty: FaultyStore, content: bytes):
    faulty.faults.append(Fault("PutObject", "refused", times=9))

    with pytest.raises(StoreError, match="AWS_ACCESS_KEY_ID") as raised:
        faulty.put_bytes(content)
    assert not isinstance(raised.value, Unavailable)
    assert [operation for operation, _ in faulty.requests].count("PutObject") == 1


def test_lasting_error_is_unavailable_with_what_to_check(faulty: FaultyStore):
    faulty.faults.append(Fault("GetObject", "error", times=99))

    with pytest.raises(Unavailable, match="500 InternalError.*the next command starts it"):
        faulty.read("anything")


def test_partial_upload_is_not_visible_and_the_next_one_is_whole(faulty: FaultyStore, store: Store, large: Path):
    faulty.faults.append(Fault("UploadPart", "refused", key="partNumber=2"))
    with pytest.raises(StoreError):
        faulty.put_file(large)
    digest = file_digest(large)
    assert store.size(blob_key(digest)) is None

    assert store.holds(faulty.put_file(large))


def test_part_that_fails_for_a_moment_is_sent_again(faulty: FaultyStore, store: Store, large: Path, tmp_path: Path):
    faulty.faults.append(Fault("UploadPart", "time-out after success", key="partNumber=2"))
    blob = faulty.put_file(large)

    assert Store(store.address, tmp_path / "elsewhere").fetch(blob).read_bytes() == large.read_bytes()


def test_wrong_bytes_never_reach_the_reader(faulty: FaultyStore, store: Store, content: bytes):
    blob = store.put_bytes(content)
    faulty.faults.append(Fault("GetObject", "wrong bytes", key=blob.digest))

    with pytest.raises(Corrupt, match=blob.digest):
        faulty.fetch(blob)
    assert faulty.fetch(blob).read_bytes() == content


def test_missing_blob_is_an_error_that_names_it(faulty: FaultyStore, store: Store, content: bytes):
    blob = store.put_bytes(content)
    connect(store.address).delete_object(Bucket=store.bucket, Key=blob_key(blob.digest))

    with pytest.raises(StoreError, match=f"{blob.digest}: there is no such object"):
        faulty.fetch(blob)


class TestCheckpoints:
    """The previous checkpoint counts when a training dies while saving the next."""

    @pytest.fixture
    def key(self) -> str:
        return f"train/{secrets.token_hex(32)}"

    def write(self, folder: Path, step: int) -> list[Path]:
        paths = [folder / f"checkpoint-{step}" / name for name in NAMES]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{path.name} {step} {secrets.token_hex(4)}".encode())
        return paths

    def test_newest_comes_back_and_older_ones_are_dropped(self, store: Store, key: str, tmp_path: Path):
        for step in (5, 10):
            checkpoints.save_checkpoint(store, key, step, tmp_path, self.write(tmp_path, step))
        found = checkpoints.newest_checkpoint(store, key)
        checkpoints.fetch_checkpoint(store, key, found, tmp_path / "other")

        assert found.step == 10
        for path in (tmp_path / "checkpoint-10").iterdir():
            assert (tmp_path / "other" / "checkpoint-10" / path.name).read_bytes() == path.read_bytes()
        assert len(store.list_keys(f"checkpoints/{key}/")) == 3

    @pytest.mark.parametrize("address", ["files/", r"\.json"])
    def test_one_that_was_not_saved_whole_does_not_count(self, store, faulty, key: str, tmp_path: Path, address: str):
        checkpoints.save_checkpoint(store, key, 5, tmp_path, self.write(tmp_path, 5))
        faulty.faults.append(Fault("PutObject", "refused", key=address))
        with pytest.raises(StoreError):
            checkpoints.save_checkpoint(faulty, key, 10, tmp_path, self.write(tmp_path, 10))

        assert checkpoints.newest_checkpoint(store, key).step == 5

    def test_leftovers_that_cannot_be_removed_are_a_warning(self, store, faulty, key: str, tmp_path: Path):
        checkpoints.save_checkpoint(store, key, 5, tmp_path, self.write(tmp_path, 5))
        faulty.faults.append(Fault("DeleteObject", "refused", times=9))
        checkpoints.save_checkpoint(faulty, key, 10, tmp_path, self.write(tmp_path, 10))
        assert checkpoints.newest_checkpoint(store, key).step == 10
        checkpoints.clear_checkpoints(faulty, key)

        assert faulty.faults[0].times < 9
        assert checkpoints.newest_checkpoint(store, key).step == 10

    def test_worker_whose_files_another_removed_leaves_the_others_checkpoint(
        self, store, key: str, tmp_path: Path, monkeypatch
    ):
        checkpoints.save_checkpoint(store, key, 5, tmp_path, self.write(tmp_path, 5))
        create = Store.create

        def remove_files_first(self, address: str, content: bytes) -> bool:
            newer = {json.loads(content)["files"][f"checkpoint-10/{name}"]["digest"] for name in NAMES}
            self.delete([found for found in self.list_keys(f"checkpoints/{key}/files/") if found[-64:] in newer])
            return create(self, address, content)

        monkeypatch.setattr(Store, "create", remove_files_first)
        checkpoints.save_checkpoint(store, key, 10, tmp_path, self.write(tmp_path, 10))

        assert checkpoints.newest_checkpoint(store, key).step == 5

    def test_one_that_lost_a_file_does_not_count(self, store: Store, key: str, tmp_path: Path):
        checkpoints.save_checkpoint(store, key, 5, tmp_path, self.write(tmp_path, 5))
        store.delete(store.list_keys(f"checkpoints/{key}/files/")[:1])

        assert checkpoints.newest_checkpoint(store, key) is None

    def test_altered_file_is_refused(self, store: Store, key: str, tmp_path: Path):
        checkpoints.save_checkpoint(store, key, 5, tmp_path, self.write(tmp_path, 5))
        address = store.list_keys(f"checkpoints/{key}/files/")[0]
        store.replace(address, bytes(store.size(address)))

        with pytest.raises(Corrupt, match=address):
            checkpoints.fetch_checkpoint(store, key, checkpoints.newest_checkpoint(store, key), tmp_path / "other")

    @pytest.mark.parametrize("name", ["../checkpoint-1/a.json", "/tmp/a.json", "checkpoint-1/../../a.json"])
    def test_manifest_that_leads_outside_is_refused(self, store: Store, key: str, name: str):
        content = f'{{"step": 1, "files": {{"{name}": {{"digest": "{"0" * 64}", "size_bytes": 1}}}}}}'
        store.create(f"checkpoints/{key}/0000000001-ab.json", content.encode())

        with pytest.raises(Corrupt, match="0000000001-ab.json"):
            checkpoints.newest_checkpoint(store, key)

    def test_another_key_sees_none_and_cleared_ones_are_gone(self, store: Store, key: str, tmp_path: Path):
        checkpoints.save_checkpoint(store, key, 5, tmp_path, self.write(tmp_path, 5))
        assert checkpoints.newest_checkpoint(store, key[:-1] + "_") is None

        checkpoints.clear_checkpoints(store, key)
        assert store.list_keys(f"checkpoints/{key}/") == []
