"""Versions, the log and references in a real S3 server. Alone: pytest tests/tasks/services/registry/test_versions.py."""

import hashlib
import json
import logging
import secrets
import threading
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from schemas.errors import Conflict, Corrupt, StoreError, UsageError
from schemas.frozen import canonical_json
from schemas.records.references import Blob, ModelRef
from schemas.records.versions import Base, Event, Manifest
from tasks.services.registry import versions as registry
from tasks.services.registry.log import read_log, read_whole_log
from tasks.services.storage.store import Store
from tests.tasks.services.storage.faulty_store import Fault, FaultyStore

DIGEST = "0" * 64
VERDICT = b'{"decision":"pass"}'
GATE = hashlib.sha256(VERDICT).hexdigest()


@pytest.fixture
def name() -> str:
    return f"model-{secrets.token_hex(4)}"


def make_manifest(store: Store, name: str, content: bytes = b"weights") -> Manifest:
    return Manifest(
        model=name,
        files={"model.safetensors": store.put_bytes(content)},
        base=Base(source="package:x", digest=DIGEST, licence="mit"),
        recipe={},
        data={},
        code=DIGEST,
        environment={},
    )


def make_event(log, version: str, verdict: bytes = VERDICT) -> Event:
    return Event(
        sequence=len(log.events) + 1,
        previous_event_sha256=log.head_sha256,
        kind="promote",
        alias="champion",
        from_version=log.aliases.get("champion"),
        to_version=version,
        gate_sha256=hashlib.sha256(verdict).hexdigest(),
        evaluation_set_sha256=DIGEST,
        by="test",
        reason="test",
        at=datetime.now(UTC),
        nonce=secrets.token_hex(8),
    )


def promote(store: Store, name: str, version: str, verdict: bytes = VERDICT) -> None:
    registry.append_event(store, name, make_event(read_log(store, name), version, verdict), verdict)


def test_same_work_is_the_same_version_and_adding_it_twice_changes_nothing(store: Store, name: str):
    one, two = (registry.add_version(store, make_manifest(store, name)) for _ in range(2))
    other = registry.add_version(store, make_manifest(store, name, b"other"))

    assert one == two != other
    assert sorted(registry.list_versions(store, name)) == sorted([one, other])
    assert registry.read_manifest(store, name, one).version == one


def test_manifest_that_lies_elsewhere_is_no_version(store: Store, name: str):
    version = registry.add_version(store, make_manifest(store, name))
    for folder in (f"old/{version}", "old", version[:12]):
        store.create(f"models/{name}/versions/{folder}/manifest.json", b"{}")

    assert registry.list_versions(store, name) == [version]


def test_version_without_its_blobs_is_not_added(store: Store, name: str):
    lost = make_manifest(store, name).model_copy(update={"files": {"a": Blob(digest="1" * 64, size_bytes=1)}})

    with pytest.raises(StoreError, match="a of .* is not in the store"):
        registry.add_version(store, lost)
    assert registry.list_versions(store, name) == []


def test_alias_names_the_version_of_its_last_event(store: Store, name: str):
    versions = [registry.add_version(store, make_manifest(store, name, content)) for content in (b"a", b"b")]
    for version in versions:
        promote(store, name, version)

    log = read_log(store, name)
    assert log.aliases == {"champion": versions[1]}
    assert [event.from_version for event in log.events] == [None, versions[0]]
    assert registry.resolve_reference(store, f"{name}@champion") == (name, versions[1])
    assert registry.resolve_reference(store, f"{name}@{versions[0][:9]}") == (name, versions[0])


def test_only_one_of_two_promoters_takes_a_number(store: Store, name: str):
    version = registry.add_version(store, make_manifest(store, name))
    log = read_log(store, name)
    outcomes: list[str] = []

    def append() -> None:
        try:
            registry.append_event(store, name, make_event(log, version))
            outcomes.append("won")
        except Conflict:
            outcomes.append("lost")

    threads = [threading.Thread(target=append) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["lost"] * 5 + ["won"]
    assert len(read_log(store, name).events) == 1


def test_log_with_a_changed_event_or_a_gap_is_refused_with_its_key(store: Store, name: str):
    version = registry.add_version(store, make_manifest(store, name))
    for _ in range(3):
        promote(store, name, version)
    first, second = (f"models/{name}/log/{number:016d}.json" for number in (1, 2))
    kept = store.read(first)

    store.replace(first, kept.replace(b'"by":"test"', b'"by":"evil"'))
    with pytest.raises(Corrupt, match=first):
        registry.resolve(store, name, "champion")
    store.replace(first, store.read(second))
    with pytest.raises(Corrupt, match=f"{first}: expected event 1 here"):
        registry.resolve(store, name, "champion")
    store.replace(first, b"{}")
    with pytest.raises(Corrupt, match=first):
        registry.resolve(store, name, "champion")
    store.delete([first])
    with pytest.raises(Corrupt, match=second):
        registry.resolve(store, name, "champion")
    store.replace(first, kept)
    assert read_whole_log(store, name) == read_log(store, name)


def test_copy_of_the_log_is_believed_only_where_it_ends_as_the_log_does(store: Store, name: str, tmp_path, caplog):
    logging.getLogger("tasks").propagate = True
    version, other = (registry.add_version(store, make_manifest(store, name, content)) for content in (b"a", b"b"))
    for _ in range(3):
        promote(store, name, version)
    head = f"models/{name}/head.json"
    raws = json.loads(store.read(head))
    requests = (faulty := FaultyStore(store, tmp_path)).requests
    assert len(read_log(faulty, name).events) == len(raws) == 3
    assert len([path for operation, path in requests if operation == "GetObject" and "/log/" in path]) == 1

    store.replace(head, json.dumps(raws[:1]).encode())
    assert len(read_log(store, name).events) == 3
    assert not caplog.messages
    invented = json.loads(raws[2]) | {"to_version": other}
    for broken in ([*raws[:2], json.dumps(invented)], raws[1:], [1], {"a": 1}):
        store.replace(head, json.dumps(broken).encode())
        caplog.clear()
        assert read_log(store, name).aliases == {"champion": version}
        assert "the whole log is read" in caplog.text
    promote(store, name, other)
    assert len(json.loads(store.read(head))) == 4


def test_newest_event_that_is_gone_is_missed(store: Store, name: str):
    version = registry.add_version(store, make_manifest(store, name))
    for _ in range(2):
        promote(store, name, version)
    last = f"models/{name}/log/{2:016d}.json"
    store.delete([last])

    for read in (read_log, read_whole_log):
        with pytest.raises(Corrupt, match=f"{last}: this event is gone"):
            read(store, name)


def test_event_counts_though_the_copy_could_not_be_written(store: Store, name: str, tmp_path, caplog):
    logging.getLogger("tasks").propagate = True
    version = registry.add_version(store, make_manifest(store, name))
    faulty = FaultyStore(store, tmp_path, [Fault("PutObject", "refused", key="head.json")])
    promote(faulty, name, version)

    assert read_log(store, name).aliases == {"champion": version}
    assert "head.json was not brought up to date" in caplog.text


def test_event_that_somebody_sealed_anew_is_seen_in_the_chain(store: Store, name: str):
    version = registry.add_version(store, make_manifest(store, name))
    for _ in range(2):
        promote(store, name, version)
    first, second = (f"models/{name}/log/{number:016d}.json" for number in (1, 2))
    forged = read_log(store, name).events[0].model_copy(update={"by": "evil"})
    store.delete([first])
    registry.append_event(store, name, forged)

    with pytest.raises(Corrupt, match=second):
        read_whole_log(store, name)


def test_log_of_before_events_had_a_digest_in_them_is_read(store: Store, name: str):
    version = registry.add_version(store, make_manifest(store, name))
    event = make_event(read_log(store, name), version)
    store.create(f"models/{name}/log/{1:016d}.json", canonical_json(event.model_dump(mode="json")))
    promote(store, name, version)

    assert read_log(store, name).events[0] == event


def test_changed_manifest_is_refused_with_its_key(store: Store, name: str):
    version = registry.add_version(store, make_manifest(store, name))
    key = f"models/{name}/versions/{version}/manifest.json"
    store.replace(key, store.read(key).replace(b"mit", b"gpl"))

    with pytest.raises(Corrupt, match=key):
        registry.read_manifest(store, name, version)
    with pytest.raises(Corrupt, match=key):
        registry.add_version(store, make_manifest(store, name))


def test_alias_whose_manifest_is_gone_is_an_error_and_never_unset(store: Store, name: str):
    version = registry.add_version(store, make_manifest(store, name))
    promote(store, name, version)
    store.delete([f"models/{name}/versions/{version}/manifest.json"])

    assert registry.resolve(store, name, "champion") == version
    with pytest.raises(StoreError, match="its manifest is missing"):
        registry.read_manifest(store, name, version)


@pytest.mark.parametrize("reference", ["../x@champion", "a b@champion", "@champion", "Model@champion"])
def test_name_that_is_not_one_is_refused(store: Store, reference: str):
    with pytest.raises(UsageError, match="is not a model's name"):
        registry.resolve_reference(store, reference)


def test_unknown_reference_names_what_there_is(store: Store, name: str):
    promote(store, name, registry.add_version(store, make_manifest(store, name)))

    with pytest.raises(UsageError, match="Its aliases are: champion"):
        registry.resolve_reference(store, f"{name}@latest")


def test_files_are_unpacked_on_a_disk_without_links_too(store: Store, name: str, monkeypatch):
    def link(*_: object) -> None:
        raise PermissionError("this disk has no links")

    manifest = make_manifest(store, name)
    monkeypatch.setattr("os.link", link)
    with registry.unpacked(store, ModelRef.of(manifest.files)) as folder:
        assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_manifest_that_is_none_of_ours_is_refused_with_its_key(store: Store, name: str):
    for raw in (b"{}", b"[", b"\xff"):
        key = f"models/{name}/versions/{hashlib.sha256(raw).hexdigest()}/manifest.json"
        store.create(key, raw)
        with pytest.raises(Corrupt, match=f"{key}: it is not a manifest that this version of tunegate can read"):
            registry.read_manifest(store, name, hashlib.sha256(raw).hexdigest())


def test_unpacked_files_are_the_judged_bytes(store: Store, name: str):
    manifest = make_manifest(store, name)
    with registry.unpacked(store, ModelRef.of(manifest.files)) as folder:
        assert (folder / "model.safetensors").read_bytes() == b"weights"

    assert not folder.exists()
    with (
        pytest.raises(ValidationError, match="should match pattern"),
        registry.unpacked(store, ModelRef.of({"../x": store.put_bytes(b"x")})),
    ):
        pass
