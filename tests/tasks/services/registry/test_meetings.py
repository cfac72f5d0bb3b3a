"""Writers that race with garbage collection. Alone: pytest tests/tasks/services/registry/test_meetings.py."""

import dataclasses
import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import StoreError
from schemas.frozen import canonical_json
from schemas.records.verdict import RuleResult
from schemas.records.versions import Manifest
from tasks import approval
from tasks.methods.rules.decision import weigh
from tasks.services.registry import gc, versions
from tasks.services.registry.gc import collect, preview
from tasks.services.registry.log import read_log
from tasks.services.registry.pins import Pin, pin
from tasks.services.registry.transfer import export_model, import_models
from tasks.services.registry.verification import find_faults, find_faults_of_model
from tasks.services.storage import leases
from tasks.services.storage.store import Store, blob_key
from tests.tasks.services.registry.meeting import Writer, pause
from tests.tasks.services.registry.test_gc import STRICT, forward
from tests.tasks.services.registry.test_versions import make_event, make_manifest
from tests.tasks.test_approval import GROUNDS

NAME = "met"
PIN = Pin(reason="an audit", by="somebody")
RULE = RuleResult(name="floor", measured=0.9, interval=(0.8, 1.0), limit=0.5, decision="pass", reason="0.9 reaches 0.5")
VERDICT = weigh((RULE,), rows=100)
RAW = canonical_json(VERDICT.model_dump(mode="json"))
GATE = hashlib.sha256(RAW).hexdigest()


@pytest.fixture
def bucket(store: Store, tmp_path: Path) -> Store:
    made = Store(dataclasses.replace(store.address, bucket=f"met-{secrets.token_hex(6)}"), tmp_path / "blobs")
    made.create_bucket()
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(leases, "_pause", pause)


def add(store: Store, content: bytes = b"weights") -> Manifest:
    manifest = make_manifest(store, NAME, content)
    versions.add_version(store, manifest)
    return manifest


def condemn(store: Store, monkeypatch) -> None:
    """Condemn all unreferenced objects, so that the next collection deletes them."""
    forward(monkeypatch, 2)
    collect(store, STRICT)
    forward(monkeypatch, 2)


def meet(store: Store, action: Callable[[], object], monkeypatch) -> None:
    """Collect, with the action between mark and sweep."""
    writer, remove = Writer(action), gc._remove
    with monkeypatch.context() as patched:
        patched.setattr(gc, "_remove", lambda *given: (writer.begin(), remove(*given))[-1])
        collect(store, STRICT)
    writer.end()


def append(store: Store, version: str) -> None:
    event = make_event(read_log(store, NAME), version)
    versions.append_event(store, NAME, event.model_copy(update={"gate_sha256": GATE}), RAW)


def propose(store: Store, version: str) -> None:
    proposal = approval.make_proposal(read_log(store, NAME), NAME, "champion", version, VERDICT, GROUNDS, "run")
    approval.propose(store, proposal, VERDICT)


def before_event(store: Store, action: Callable[[], object], monkeypatch) -> None:
    """Run the action after a writer's wait, before its event."""
    create = store.create
    actions = [action]

    def create_later(key: str, content: bytes) -> bool:
        if "/log/" in key and actions:
            actions.pop()()
        return create(key, content)

    monkeypatch.setattr(store, "create", create_later)


def test_version_that_was_taken_though_its_files_are_kept_is_written_again(bucket: Store, monkeypatch):
    manifest = add(bucket)
    condemn(bucket, monkeypatch)
    other = versions.add_version(bucket, manifest.model_copy(update={"code": "1" * 64}))
    pin(bucket, NAME, other, PIN)
    meet(bucket, lambda: versions.add_version(bucket, manifest), monkeypatch)

    assert manifest.version in versions.list_versions(bucket, NAME)
    assert bucket.size(f"models/{NAME}/versions/{manifest.version}/bom.cdx.json")


def test_bill_that_was_taken_though_its_manifest_is_new_is_written_again(bucket: Store, monkeypatch):
    """An earlier collector was killed after deleting the manifest."""
    manifest = add(bucket)
    condemn(bucket, monkeypatch)
    pin(bucket, NAME, versions.add_version(bucket, manifest.model_copy(update={"code": "1" * 64})), PIN)
    bucket.delete([f"models/{NAME}/versions/{manifest.version}/manifest.json"])
    meet(bucket, lambda: versions.add_version(bucket, manifest), monkeypatch)

    assert bucket.size(f"models/{NAME}/versions/{manifest.version}/bom.cdx.json")


def test_version_that_is_pinned_too_late_is_told_and_not_pinned(bucket: Store, monkeypatch):
    lost = add(bucket)
    condemn(bucket, monkeypatch)
    with pytest.raises(StoreError, match="Run its recipe again"):
        meet(bucket, lambda: versions.pin_version(bucket, NAME, lost.version, PIN), monkeypatch)

    assert not bucket.list_keys(f"models/{NAME}/pins/")


def test_pin_that_was_there_stays_though_the_version_is_not_whole(bucket: Store):
    manifest = add(bucket)
    versions.pin_version(bucket, NAME, manifest.version, PIN)
    bucket.delete([blob_key(manifest.files["model.safetensors"].digest)])
    with pytest.raises(StoreError, match="is not in the store"):
        versions.pin_version(bucket, NAME, manifest.version, PIN)

    assert bucket.list_keys(f"models/{NAME}/pins/") == [f"models/{NAME}/pins/{manifest.version}.json"]


def test_version_that_is_proposed_too_late_is_told(bucket: Store, monkeypatch):
    lost = add(bucket)
    condemn(bucket, monkeypatch)
    with pytest.raises(StoreError, match="Run its recipe again"):
        meet(bucket, lambda: propose(bucket, lost.version), monkeypatch)


@pytest.mark.parametrize("name_verdict", [propose, append])
def test_verdict_that_was_to_be_removed_is_there_once_it_is_named(bucket: Store, monkeypatch, name_verdict):
    manifest = add(bucket)
    bucket.put_bytes(RAW)
    condemn(bucket, monkeypatch)
    pin(bucket, NAME, manifest.version, PIN)
    meet(bucket, lambda: name_verdict(bucket, manifest.version), monkeypatch)

    assert bucket.read(blob_key(GATE)) == RAW


def test_collection_between_the_wait_and_the_event_leaves_what_the_event_names(bucket: Store, monkeypatch):
    manifest = add(bucket)
    bucket.put_bytes(RAW)
    condemn(bucket, monkeypatch)
    before_event(bucket, lambda: collect(bucket, STRICT), monkeypatch)
    append(bucket, manifest.version)

    assert read_log(bucket, NAME).aliases == {"champion": manifest.version}
    assert not find_faults(bucket, NAME, manifest.version)
    assert bucket.read(blob_key(GATE)) == RAW


def test_event_written_while_a_collector_reads_keeps_its_verdict(bucket: Store, monkeypatch):
    """The collector listed the objects before the hold was released, so its listing lacks the event."""
    manifest = add(bucket)
    bucket.put_bytes(RAW)
    condemn(bucket, monkeypatch)
    found, list_objects = bucket.list_objects(""), bucket.list_objects
    append(bucket, manifest.version)
    monkeypatch.setattr(bucket, "list_objects", lambda *given: found if given == ("",) else list_objects(*given))
    kept = preview(bucket, STRICT).kept

    assert blob_key(GATE) in kept
    assert f"models/{NAME}/versions/{manifest.version}/manifest.json" in kept


@pytest.fixture
def exported(store: Store, tmp_path: Path) -> Path:
    """A model with an event, in a folder."""
    origin = Store(dataclasses.replace(store.address, bucket=f"origin-{secrets.token_hex(6)}"), tmp_path / "origin")
    origin.create_bucket()
    append(origin, add(origin).version)
    export_model(origin, NAME, tmp_path / "exported")
    return tmp_path / "exported"


@pytest.mark.parametrize("when", ["before the wait", "before the event"])
def test_imported_model_is_whole_though_a_collector_removes_what_it_is_made_of(
    bucket: Store, exported: Path, monkeypatch, when: str
):
    """The bucket has the same files and version already, unreferenced."""
    add(bucket)
    bucket.put_bytes(RAW)
    condemn(bucket, monkeypatch)
    if when == "before the wait":
        meet(bucket, lambda: import_models(bucket, exported), monkeypatch)
    else:
        before_event(bucket, lambda: collect(bucket, STRICT), monkeypatch)
        import_models(bucket, exported)

    assert [faults for _, faults in find_faults_of_model(bucket, NAME)] == [[], []]
    assert bucket.read(blob_key(GATE)) == RAW
    assert not bucket.list_keys(f"models/{NAME}/pins/")
