"""Keys and records: what makes a step run again. Alone: pytest tests/tasks/services/cache/test_records.py."""

import json
import logging

import pytest

from schemas.errors import Unavailable
from schemas.frozen import canonical_json
from schemas.recipe.data import FileSource, HashSplit
from schemas.records.references import RowsRef, SourceFile, SourceFiles, SplitRef
from schemas.records.verdict import Verdict
from schemas.settings import Settings
from tasks.ingestion import ingest_rows
from tasks.services.cache import keys
from tasks.services.cache.keys import COMPUTED
from tasks.services.cache.records import RecordJSON, StoreRecords, look_up
from tasks.services.local import object_store
from tasks.services.storage.s3 import connect
from tasks.services.storage.store import blob_key
from tasks.splitting import split_rows

POLICY = split_rows.cache_policy


def make_rows(digest: str = "1" * 64, num_rows: int = 5) -> RowsRef:
    return RowsRef(digest=digest, size_bytes=1, num_rows=num_rows)


def key_of(**arguments: object) -> str:
    return POLICY.key_for(arguments).path


def test_key_depends_on_content_and_parameters_only():
    key = key_of(rows=make_rows(), split=HashSplit())

    assert key == key_of(split=HashSplit(), rows=make_rows(num_rows=7))
    assert key != key_of(rows=make_rows("2" * 64), split=HashSplit())
    assert key != key_of(rows=make_rows(), split=HashSplit(seed=1))
    assert key.startswith("split/")


def test_where_files_lie_is_no_part_of_the_key():
    def key(path: str, folder: str) -> str:
        source = FileSource(path=path, text="text", label="label")
        files = SourceFiles(digest="3" * 64, files=(SourceFile(digest="4" * 64, path=f"{folder}/{path}"),))
        arguments = {"train": source, "test": source, "train_files": files, "test_files": files}
        return ingest_rows.cache_policy.key_for(arguments).path

    assert key("a.csv", "/here") == key("b.csv", "/there")


def test_parameter_that_is_no_plain_value_is_our_mistake():
    with pytest.raises(TypeError, match="a set has no plain form"):
        key_of(rows=make_rows(), split={1, 2})


@pytest.mark.usefixtures("store")
def test_record_that_is_not_ours_is_a_miss_and_its_code_is_never_run(store, tmp_path, caplog):
    path = key_of(rows=make_rows("5" * 64), split=HashSplit())
    evil = {"__class__": "subprocess.getoutput", "data": {"cmd": f"touch {tmp_path}/ran"}}
    logging.getLogger("tasks").propagate = True
    for serializer, result in [
        ({"type": "json"}, evil),
        ({"type": "pickle"}, "gASV"),
        ({"type": "tunegate-json"}, evil),
    ]:
        record = {"metadata": {"serializer": serializer}, "result": json.dumps(result)}
        store.replace(f"cache/{path}.json", canonical_json(record))

        assert look_up(path) is None
        with pytest.raises(ValueError, match="no record"):
            StoreRecords().read_path(path)
    assert not (tmp_path / "ran").exists()


def test_serializer_takes_only_results_it_knows():
    verdict = Verdict(decision="pass", rules=(), rows=3)

    assert RecordJSON().loads(RecordJSON().dumps(verdict)) == verdict
    with pytest.raises(TypeError, match="cannot be stored in a record"):
        RecordJSON().dumps({"plain": "dict"})


def write_record(path: str, result: object) -> None:
    content = {"metadata": {"serializer": {"type": "tunegate-json"}}, "result": RecordJSON().dumps(result).decode()}
    StoreRecords().write_path(path, json.dumps(content).encode())


def make_split(store, content: bytes) -> SplitRef:
    blob = store.put_bytes(content)
    rows = RowsRef(digest=blob.digest, size_bytes=blob.size_bytes, num_rows=1)
    return SplitRef(digest="6" * 64, train=rows, validation=rows)


def test_record_keeps_the_parts_of_its_key(store):
    key = POLICY.key_for({"rows": make_rows("7" * 64), "split": HashSplit(seed=9)})
    COMPUTED[key.path] = key
    write_record(key.path, make_split(store, b"rows"))

    record = json.loads(look_up(key.path))
    assert record["key"]["params"]["split"]["seed"] == 9
    assert record["key"]["inputs"] == {"rows": "7" * 64}
    assert record["key"]["env"]["python"]


def test_lost_blob_is_a_miss_that_the_next_write_repairs(store):
    key = POLICY.key_for({"rows": make_rows("8" * 64), "split": HashSplit()})
    COMPUTED[key.path] = key
    lost = make_split(store, b"lost rows")
    write_record(key.path, lost)
    assert look_up(key.path) is not None
    connect(store.address).delete_object(Bucket=store.bucket, Key=blob_key(lost.train.digest))

    assert look_up(key.path) is None
    write_record(key.path, make_split(store, b"new rows"))
    assert look_up(key.path) is not None


def test_first_of_two_records_stays(store):
    key = POLICY.key_for({"rows": make_rows("9" * 64), "split": HashSplit()})
    COMPUTED[key.path] = key
    write_record(key.path, make_split(store, b"first"))
    first = look_up(key.path)
    write_record(key.path, make_split(store, b"second"))

    assert look_up(key.path) == first


def test_store_that_does_not_answer_is_an_error_and_never_a_miss(monkeypatch):
    monkeypatch.setenv("TUNEGATE_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")

    with pytest.raises(Unavailable):
        look_up(key_of(rows=make_rows(), split=HashSplit()))
    object_store.open_store.cache_clear()


def test_exception_of_a_failed_task_is_not_kept(store):
    StoreRecords().write_path("0123456789abcdef0123456789abcdef", b"{}")

    assert store.read("cache/0123456789abcdef0123456789abcdef.json") is None


def test_key_of_the_running_task_is_for_task_bodies():
    with pytest.raises(RuntimeError, match="outside a cached task"):
        keys.current_key()
    assert Settings().bucket == "tunegate"
