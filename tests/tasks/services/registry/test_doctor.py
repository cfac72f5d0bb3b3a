"""Probes of the store before it is trusted. Alone: pytest tests/tasks/services/registry/test_doctor.py [-m '']."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import StoreError, Unavailable
from schemas.records.verdict import Verdict
from schemas.settings import Settings
from tasks.promotion import promote_version, release_version
from tasks.services.local import object_store
from tasks.services.registry import doctor, versions
from tasks.services.registry.doctor import FOLDER, TRUSTED, Capabilities, check_store, examine
from tasks.services.registry.log import read_log
from tasks.services.storage.store import Store
from tests.flows.command import last_json, run
from tests.tasks.services.registry.test_versions import make_event, make_manifest
from tests.tasks.services.storage.faulty_store import FaultyStore
from tests.tasks.services.storage.moto_server import (
    App,
    has_checksum,
    ignores_conditions,
    lists_late,
    looks_before_it_writes,
    moto,
    refuses,
)

CHECKSUMS = "bytes that do not match their checksum are refused"
RACE = "of several who create an object one wins"
ONCE = "what was created is not created again"
LIST = "a list shows every write at once, in order"
UPLOADS = "uploads with a checksum are accepted"
DELETED = "what is deleted is gone at once"
UNKNOWN = b"<Error><Code>NotImplemented</Code><Message>We have no such thing.</Message></Error>"
BREAKING = [
    (ignores_conditions, {RACE, ONCE}),
    (looks_before_it_writes, {RACE}),
    (lists_late, {LIST}),
]


@pytest.fixture
def open_moto(tmp_path: Path, monkeypatch) -> Iterator[Callable[..., Store]]:
    """Make moto the store of this process's commands, in a new home and bucket."""
    with ExitStack() as servers:

        def open_it(layer: Callable[[App], App] = lambda app: app) -> Store:
            for name, value in {
                "TUNEGATE_HOME": str(tmp_path / "home"),
                "TUNEGATE_S3_ENDPOINT": servers.enter_context(moto(layer)),
                "TUNEGATE_BUCKET": f"bucket-{secrets.token_hex(6)}",
                "AWS_ACCESS_KEY_ID": "moto",
                "AWS_SECRET_ACCESS_KEY": "moto",
            }.items():
                monkeypatch.setenv(name, value)
            store = object_store.open_store(Settings())
            store.create_bucket()
            return store

        yield open_it
    object_store.open_store.cache_clear()


def broken(found: Capabilities) -> set[str]:
    return {finding.promise for finding in found.findings if not finding.is_kept}


def probes(store: FaultyStore) -> int:
    """Count the requests that only probes make."""
    return sum(operation == "PutObject" and path.endswith("/once") for operation, path in store.requests)


def test_embedded_store_keeps_every_promise_and_nothing_is_left(store: Store, tmp_path: Path):
    assert broken(examine(store, tmp_path)) == set()
    assert store.list_keys(f"{FOLDER}/") == []


def test_moto_compares_no_checksums_which_is_told_and_no_reason_to_refuse(open_moto, tmp_path: Path):
    store = open_moto()
    told = run("doctor", "--json")

    assert told.exit_code == 0, told.stderr
    assert f"missing  {CHECKSUMS}: accepted" in told.stdout
    assert broken(Capabilities.model_validate(last_json(told))) == {CHECKSUMS}
    check_store(store, tmp_path)


@pytest.mark.parametrize(("layer", "promises"), BREAKING)
def test_broken_promise_is_told_and_is_exit_5(open_moto, layer, promises: set[str]):
    open_moto(layer)
    told = run("doctor", "--json")

    assert told.exit_code == 5
    assert broken(Capabilities.model_validate(last_json(told))) == {CHECKSUMS, *promises}
    for promise in promises:
        assert f"BROKEN   {promise}" in told.stdout


def is_listing(environ: dict[str, Any]) -> bool:
    return environ["REQUEST_METHOD"] == "GET" and "list-type=2" in environ["QUERY_STRING"]


def is_removal(environ: dict[str, Any]) -> bool:
    return environ["REQUEST_METHOD"] == "DELETE"


@pytest.mark.parametrize(
    ("is_meant", "status", "body", "promise", "words"),
    [
        (is_listing, "501 Not Implemented", UNKNOWN, LIST, "501 NotImplemented: We have no such thing"),
        (is_listing, "404 Not Found", b"<html>404</html>", LIST, "404, and not as S3 does"),
        (is_removal, "403 Forbidden", UNKNOWN, DELETED, "403 NotImplemented: We have no such thing"),
    ],
)
def test_all_promises_are_told_where_one_call_is_refused(open_moto, is_meant, status, body, promise, words):
    open_moto(refuses(is_meant, status, body))
    told = run("doctor", "--json")

    assert told.exit_code == 5
    assert broken(Capabilities.model_validate(last_json(told))) == {CHECKSUMS, promise}
    assert re.search(f"BROKEN   {promise}: .*{words}", told.stdout)


def test_refusal_of_every_checksum_is_none_of_wrong_bytes(open_moto, monkeypatch):
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    body = b"<Error><Code>InvalidArgument</Code><Message>What is x-amz-checksum-sha256?</Message></Error>"
    open_moto(refuses(has_checksum, "400 Bad Request", body))
    told = run("doctor", "--json")

    assert told.exit_code == 5
    assert broken(Capabilities.model_validate(last_json(told))) == {UPLOADS, CHECKSUMS}
    assert f"BROKEN   {UPLOADS}: the store answered 400 InvalidArgument: What is x-amz-checksum-sha256?" in told.stdout
    assert "This store refuses uploads with a checksum" in told.stderr


def test_failure_in_between_is_worth_a_retry(open_moto, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(doctor, "PROBES", {promise: doctor.PROBES[promise] for promise in (doctor.FIRST, LIST)})
    store = open_moto(refuses(is_listing, "404 Not Found", b"<html>404</html>"))
    with pytest.raises(Unavailable, match="nothing is promoted there"):
        check_store(store, tmp_path)


@pytest.mark.parametrize("kind", ["gate", "hand"])
def test_nothing_is_promoted_on_a_store_that_breaks_a_promise(open_moto, kind: str):
    store = open_moto(ignores_conditions)
    version = versions.add_version(store, make_manifest(store, "careless"))
    event = make_event(read_log(store, "careless"), version)

    with pytest.raises(StoreError, match=f"so nothing is promoted there. Broken: {RACE} .*; {ONCE} "):
        if kind == "gate":
            promote_version.fn("careless", event, Verdict(decision="pass", rules=(), rows=1, rows_needed=None))
        else:
            release_version.fn("careless", event)
    assert read_log(store, "careless").events == ()


def test_nothing_is_imported_or_rejected_on_a_store_that_breaks_a_promise(open_moto, tmp_path: Path):
    store = open_moto(ignores_conditions)
    version = versions.add_version(store, make_manifest(store, "careless"))
    assert run("export", "careless", tmp_path / "out").exit_code == 0
    for arguments in (["import", tmp_path / "out"], ["reject", "careless", version, "--reason", "no"]):
        told = run(*arguments)

        assert (told.exit_code, "breaks promises that the registry relies on" in told.stderr) == (5, True)


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "code", "events"), [(lambda app: app, 0, 1), (ignores_conditions, 5, 0)])
def test_run_promotes_on_moto_only_while_it_keeps_its_promises(
    prefect_engine, open_moto, make_recipe, layer, code: int, events: int
):
    store = open_moto(layer)
    found = run("run", make_recipe("tiny", rows_seed=601), "--json")

    assert found.exit_code == code, found.stderr
    assert len(read_log(store, "tiny").events) == events
    assert (RACE in found.stderr) == (code == 5)
    # What could not be promoted is not trained either.
    assert (store.list_keys("cache/train/") != []) == (code == 0)
    assert "Traceback" not in found.stderr


class TestRecord:
    """The record of findings and its expiry."""

    @pytest.fixture
    def watched(self, open_moto, tmp_path: Path) -> FaultyStore:
        return FaultyStore(open_moto(), tmp_path / "watched")

    def rewrite(self, home: Path, **changes: object) -> None:
        (path,) = (home / "capabilities").iterdir()
        path.write_text(
            Capabilities.model_validate_json(path.read_bytes()).model_copy(update=changes).model_dump_json()
        )

    def test_store_is_probed_by_the_first_promotion_only(self, watched: FaultyStore, tmp_path: Path):
        check_store(watched, tmp_path)
        once = probes(watched)
        check_store(watched, tmp_path)

        assert probes(watched) == once == 2

    @pytest.mark.parametrize("age", [TRUSTED + timedelta(hours=1), timedelta(hours=-1)])
    def test_record_that_is_old_or_of_the_future_is_made_again(self, watched: FaultyStore, tmp_path: Path, age):
        at = examine(watched, tmp_path).at
        self.rewrite(tmp_path, at=at - age)
        check_store(watched, tmp_path)
        (path,) = (tmp_path / "capabilities").iterdir()

        assert probes(watched) == 4
        assert Capabilities.model_validate_json(path.read_bytes()).at > at

    def test_store_that_was_mended_is_trusted_at_once(self, watched: FaultyStore, tmp_path: Path):
        findings = examine(watched, tmp_path).findings
        self.rewrite(tmp_path, findings=(findings[0].model_copy(update={"is_kept": False}), *findings[1:]))
        check_store(watched, tmp_path)

        assert probes(watched) == 4

    def test_record_that_cannot_be_read_is_made_again(self, watched: FaultyStore, tmp_path: Path):
        examine(watched, tmp_path)
        (path,) = (tmp_path / "capabilities").iterdir()
        path.write_text("{}")
        check_store(watched, tmp_path)

        assert probes(watched) == 4

    def test_buckets_and_endpoints_have_records_of_their_own(self, open_moto, tmp_path: Path):
        stores = [open_moto(), open_moto()]
        other = replace(stores[0].address, bucket="another-one")
        stores.append(Store(other, tmp_path / "seen"))
        stores[-1].create_bucket()
        for store in stores:
            examine(store, tmp_path)

        found = [Capabilities.model_validate_json(path.read_bytes()) for path in (tmp_path / "capabilities").iterdir()]
        assert {(one.endpoint, one.bucket) for one in found} == {(one.address.endpoint, one.bucket) for one in stores}
