"""Garbage collection, on a separate bucket. Alone: pytest tests/tasks/services/registry/test_gc.py."""

import dataclasses
import secrets
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from schemas.errors import Conflict, StoreError
from schemas.records.versions import Manifest
from tasks.services.cache import records
from tasks.services.cache.keys import Key
from tasks.services.registry import gc
from tasks.services.registry.gc import CONDEMNED, Retention, collect, preview
from tasks.services.registry.log import read_log
from tasks.services.registry.pins import Pin, held, pin, unpin
from tasks.services.registry.verification import find_faults
from tasks.services.registry.versions import GC_LEASE, add_version, append_event, list_versions
from tasks.services.storage import leases
from tasks.services.storage.store import Listed, Store, blob_key
from tests.tasks.services.registry.test_versions import make_event, make_manifest

NAME = "collected"
STRICT = Retention(versions=2, days=0)
DAY = timedelta(days=1)


@pytest.fixture
def bucket(store: Store, tmp_path: Path) -> Store:
    made = Store(dataclasses.replace(store.address, bucket=f"collected-{secrets.token_hex(6)}"), tmp_path / "blobs")
    made.create_bucket()
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.01)


def forward(monkeypatch, days: float) -> None:
    """Set the store's clock forward for the collector."""
    now = Store.now
    monkeypatch.setattr(Store, "now", lambda self: now(self) + days * DAY)


def add(store: Store, content: bytes, shared: bytes = b"tokenizer") -> Manifest:
    files = {"model.safetensors": store.put_bytes(content), "tokenizer.json": store.put_bytes(shared)}
    manifest = make_manifest(store, NAME, content).model_copy(update={"files": files})
    add_version(store, manifest)
    return manifest


def promote(store: Store, version: str) -> None:
    append_event(store, NAME, make_event(read_log(store, NAME), version))


def keys_of(store: Store) -> set[str]:
    return set(store.list_keys(""))


def test_what_nothing_names_goes_after_its_grace_and_the_rest_stays(bucket: Store, monkeypatch):
    versions = [add(bucket, f"weights {number}".encode()) for number in range(5)]
    promoted, pinned, refused = versions[:3], versions[3], versions[4]
    for manifest in promoted:
        promote(bucket, manifest.version)
    pin(bucket, NAME, pinned.version, Pin(reason="an audit", by="somebody"))
    forward(monkeypatch, 2)
    before = keys_of(bucket)
    collect(bucket, STRICT)
    assert keys_of(bucket) == before | {CONDEMNED, *bucket.list_keys("leases/")}

    forward(monkeypatch, 2)
    found = collect(bucket, STRICT)

    assert set(list_versions(bucket, NAME)) == {manifest.version for manifest in (*promoted[1:], pinned)}
    assert blob_key(refused.files["model.safetensors"].digest) in found.due
    assert blob_key(promoted[0].files["model.safetensors"].digest) in found.due
    assert before - keys_of(bucket) == {key for key in found.due if not key.startswith("leases/")}
    assert not [fault for version in list_versions(bucket, NAME) for fault in find_faults(bucket, NAME, version)]
    unpin(bucket, NAME, pinned.version)
    collect(bucket, STRICT)
    forward(monkeypatch, 1)
    collect(bucket, STRICT)
    assert pinned.version not in list_versions(bucket, NAME)


def test_dry_run_tells_and_changes_nothing(bucket: Store, monkeypatch):
    refused = add(bucket, b"refused")
    forward(monkeypatch, 2)
    before = keys_of(bucket)
    found = preview(bucket, STRICT)

    assert blob_key(refused.files["model.safetensors"].digest) in found.young
    assert keys_of(bucket) == before


def test_young_objects_stay(bucket: Store, monkeypatch):
    add(bucket, b"young")
    bucket.put_bytes(b"in no manifest yet")
    assert not preview(bucket, Retention(days=1)).young
    forward(monkeypatch, 2)
    assert not [key for key in preview(bucket, Retention(days=3)).young if key.startswith("models/")]


def test_named_again_before_the_grace_is_over_stays(bucket: Store, monkeypatch):
    manifest = add(bucket, b"late bloomer")
    forward(monkeypatch, 2)
    assert collect(bucket, STRICT).young
    promote(bucket, manifest.version)
    forward(monkeypatch, 2)
    collect(bucket, STRICT)

    assert not find_faults(bucket, NAME, manifest.version)


def test_written_again_has_its_grace_again():
    now = datetime.fromisoformat("2026-01-10T00:00:00+00:00")
    condemned = {"blobs/a": now - 3 * DAY, "blobs/b": now - 3 * DAY}
    objects = [Listed("blobs/a", 1, now - 5 * DAY), Listed("blobs/b", 1, now - 2 * DAY)]
    found, since = gc._sort(objects, set(), condemned, now)

    assert (set(found.due), set(found.young)) == ({"blobs/a"}, {"blobs/b"})
    assert since["blobs/b"] == now


def test_upload_that_reuses_a_condemned_blob_is_told_and_repairs_it(bucket: Store, monkeypatch):
    """The writer runs between mark and sweep."""
    lost = add(bucket, b"was refused")
    forward(monkeypatch, 2)
    collect(bucket, STRICT)
    forward(monkeypatch, 2)
    marked, go_on = threading.Event(), threading.Event()
    remove = gc._remove
    monkeypatch.setattr(gc, "_remove", lambda *given: (marked.set(), go_on.wait(60), remove(*given))[-1])
    collector = threading.Thread(target=collect, args=(bucket, STRICT))
    collector.start()
    assert marked.wait(60)
    errors: list[StoreError] = []

    def write() -> None:
        try:
            add(bucket, b"was refused")
        except StoreError as error:
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.5)
    assert writer.is_alive()
    go_on.set()
    collector.join(60)
    writer.join(60)

    assert "is not in the store" in str(errors[0])
    assert find_faults(bucket, NAME, lost.version)
    add(bucket, b"was refused")
    assert not find_faults(bucket, NAME, lost.version)


def test_event_waits_for_a_collection_and_names_no_version_that_it_took(bucket: Store, monkeypatch):
    lost = add(bucket, b"was refused")
    with leases.sole_holder(bucket, GC_LEASE):
        writer = threading.Thread(target=promote, args=(bucket, lost.version))
        writer.start()
        writer.join(0.5)
        assert not read_log(bucket, NAME).events
    writer.join(60)
    assert read_log(bucket, NAME).aliases == {"champion": lost.version}

    gone = add(bucket, b"taken")
    bucket.delete([blob_key(gone.files["model.safetensors"].digest)])
    with pytest.raises(StoreError, match="nothing may name this version"):
        promote(bucket, gone.version)
    assert not bucket.list_keys(f"models/{NAME}/pins/")


def test_version_that_is_about_to_be_named_stays(bucket: Store, monkeypatch):
    manifest = add(bucket, b"about to be named")
    forward(monkeypatch, 2)
    with held(bucket, NAME, manifest.version):
        assert not [key for key in preview(bucket, STRICT).young if manifest.version in key and "/pins/" not in key]


def test_collector_that_was_taken_for_dead_removes_nothing_more(bucket: Store, monkeypatch):
    """It is paused between mark and sweep, and the promoter waits for it in vain."""
    lost = add(bucket, b"refused")
    forward(monkeypatch, 2)
    collect(bucket, STRICT)
    forward(monkeypatch, 2)
    monkeypatch.setattr(leases, "SILENCE_SECONDS", 0.05)
    remove = gc._remove
    monkeypatch.setattr(gc, "_remove", lambda *given: (promote(bucket, lost.version), remove(*given))[-1])
    with pytest.raises(Conflict, match="another has taken over"):
        collect(bucket, STRICT)

    assert read_log(bucket, NAME).aliases == {"champion": lost.version}
    assert not find_faults(bucket, NAME, lost.version)


def test_collector_that_loses_its_lease_while_it_removes_stops_before_the_next_object(bucket: Store, monkeypatch):
    add(bucket, b"refused")
    forward(monkeypatch, 2)
    collect(bucket, STRICT)
    forward(monkeypatch, 2)
    monkeypatch.setattr(leases, "SILENCE_SECONDS", 0.05)
    deleted: list[str] = []
    monkeypatch.setattr(bucket, "delete", lambda keys: (deleted.extend(keys), leases.wait_until_free(bucket, GC_LEASE)))
    with pytest.raises(Conflict, match="another has taken over"):
        collect(bucket, STRICT)

    assert len(deleted) == 1


def test_collector_lets_others_write_before_all_is_removed(bucket: Store, monkeypatch):
    champion = add(bucket, b"champion")
    promote(bucket, champion.version)
    for content in (b"refused", b"undecidable"):
        add(bucket, content)
    forward(monkeypatch, 2)
    collect(bucket, STRICT)
    forward(monkeypatch, 2)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(gc, "TURN_SECONDS", 0.0)
    promoter = threading.Thread(target=promote, args=(bucket, champion.version))
    num_events: list[int] = []
    delete = bucket.delete

    def delete_counting(keys: list[str]) -> None:
        if threading.current_thread() is not promoter:
            if not num_events:
                promoter.start()
            num_events.append(len(read_log(bucket, NAME).events))
        delete(keys)

    monkeypatch.setattr(bucket, "delete", delete_counting)
    found = collect(bucket, STRICT)
    promoter.join(60)

    assert (num_events[0], num_events[-1]) == (1, 2)
    assert len(found.due) == len(num_events) >= 6
    assert not found.due.keys() & keys_of(bucket)
    assert list_versions(bucket, NAME) == [champion.version]


def begin_upload(store: Store, key: str) -> str:
    upload: str = store._client.create_multipart_upload(Bucket=store.bucket, Key=key)["UploadId"]
    store._client.upload_part(Bucket=store.bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"part")
    return upload


def test_leftovers_go_once_they_are_old(bucket: Store, monkeypatch):
    leftovers = ["leases/train/a/1.json", "checkpoints/train/a/files/b", "cache/train/a.json", "doctor/x/race"]
    leftovers.append(f"models/{NAME}/pins/{'0' * 64}-0123456789abcdef.json")
    for key in leftovers:
        bucket.replace(key, b"{}")
    bucket.replace("last-keys/recipe/train.json", b"{}")
    uploads = {key: begin_upload(bucket, key) for key in ("blobs/sha256/00/half", "checkpoints/train/a/b", "video.mp4")}
    collect(bucket, Retention(days=3))
    assert {found.id for found in bucket.list_uploads()} == set(uploads.values())
    forward(monkeypatch, 4)
    collect(bucket, Retention(days=3))
    assert [found.id for found in bucket.list_uploads()] == [uploads["video.mp4"]]
    assert set(leftovers) <= keys_of(bucket)
    forward(monkeypatch, 2)
    collect(bucket, Retention(days=3))

    assert not set(leftovers) & keys_of(bucket)
    assert "last-keys/recipe/train.json" in keys_of(bucket)


def test_record_that_runs_use_stays_with_what_it_names(bucket: Store, monkeypatch):
    """Every run notes the keys of its steps, hits and misses."""
    monkeypatch.setattr(records, "current_store", lambda: bucket)
    used, unused = (
        Key(step="train", salt=0, code=code, env={}, params={"learning_rate": 5e-5, "name": "\u00e9"}, inputs={})
        for code in ("1", "2")
    )
    weights = bucket.put_bytes(b"weights")
    for key in (used, unused):
        bucket.replace(f"cache/{key.path}.json", f'{{"value": "{weights.digest}"}}'.encode())
        records.remember("weekly", f"train-{key.code}", key)
    forward(monkeypatch, 4)
    found = preview(bucket, Retention(days=5))
    assert {f"cache/{used.path}.json", f"cache/{unused.path}.json"} <= found.kept.keys()

    note = "last-keys/weekly/train-1.json"
    listed = bucket.list_objects
    monkeypatch.setattr(
        bucket,
        "list_objects",
        lambda prefix: [one._replace(modified=one.modified + 4 * DAY * (one.key == note)) for one in listed(prefix)],
    )
    found = preview(bucket, Retention(days=3))
    assert {f"cache/{used.path}.json", blob_key(weights.digest)} <= found.kept.keys()
    assert f"cache/{unused.path}.json" in found.young


def test_lease_and_checkpoint_are_as_young_as_their_youngest_object():
    now = datetime.fromisoformat("2026-01-10T00:00:00+00:00")
    held, beat = Listed("leases/train/a/1.json", 1, now - 3 * DAY), Listed("leases/train/a/1.beat", 1, now)
    other = Listed("leases/train/b/1.json", 1, now - 3 * DAY)

    assert [listed.modified for listed in gc._with_age_of_folder([held, beat, other])] == [
        now,
        now,
        now - 3 * DAY,
    ]


def test_collectors_lease_before_the_present_one_keeps_its_age():
    now = datetime.fromisoformat("2026-01-10T00:00:00+00:00")
    before, present = (Listed(f"leases/{GC_LEASE}/{number}.json", 1, now - number * DAY) for number in (7, 0))

    assert gc._with_age_of_folder([before, present]) == [before, present]


def test_bucket_is_listed_once_a_turn(bucket: Store, monkeypatch):
    asked, list_objects = [], bucket.list_objects
    monkeypatch.setattr(bucket, "list_objects", lambda *given: (asked.append(given[0]), list_objects(*given))[1])
    collect(bucket, STRICT)

    assert asked.count("") == 1


def test_log_that_cannot_be_read_is_no_reason_to_remove_anything(bucket: Store, monkeypatch):
    manifest = add(bucket, b"champion")
    promote(bucket, manifest.version)
    bucket.replace(f"models/{NAME}/log/{1:016d}.json", b"{}")
    forward(monkeypatch, 5)
    before = keys_of(bucket)
    with pytest.raises(StoreError):
        collect(bucket, STRICT)
    assert keys_of(bucket) - before == set(bucket.list_keys("leases/"))


def test_list_of_condemned_objects_that_is_damaged_gives_every_one_its_grace_again(bucket: Store, monkeypatch):
    add(bucket, b"refused")
    forward(monkeypatch, 2)
    collect(bucket, STRICT)
    bucket.replace(CONDEMNED, b"[1]")
    forward(monkeypatch, 2)

    assert not collect(bucket, STRICT).due
