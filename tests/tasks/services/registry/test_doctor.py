"""A store is tried before it is trusted. Alone: pytest tests/tasks/services/registry/test_doctor.py [-m '']."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.errors import StoreError
from schemas.records.verdict import Verdict
from schemas.settings import Settings
from tasks.promotion import promote_version, release_version
from tasks.services.local import object_store
from tasks.services.registry import versions
from tasks.services.registry.doctor import FOLDER, TRUSTED, Capabilities, check_store, examine
from tasks.services.registry.log import read_log
from tasks.services.storage.store import Store
from tests.flows.command import last_json, run
from tests.tasks.services.registry.test_versions import make_event, make_manifest
from tests.tasks.services.storage.faulty_store import FaultyStore
from tests.tasks.services.storage.moto_server import App, ignores_conditions, lists_late, looks_before_it_writes, moto

CHECKSUMS = "bytes that do not match their checksum are refused"
RACE = "of several who create an object one wins"
ONCE = "what was created is not created again"
LIST = "a list shows every write at once, in order"
BREAKING = [
    (ignores_conditions, {RACE, ONCE}),
    (looks_before_it_writes, {RACE}),
    (lists_late, {LIST}),
]


@pytest.fixture
def open_moto(tmp_path: Path, monkeypatch) -> Iterator[Callable[..., Store]]:
    """Make moto the store of this process's commands, in a home and a bucket that no other test has seen."""
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
    """How often a store was asked for what only probing asks for."""
    return sum(operation == "PutObject" and path.endswith("/once") for operation, path in store.requests)


def test_embedded_store_keeps_every_promise_and_nothing_is_left(store: Store, tmp_path: Path):
    assert broken(examine(store, tmp_path)) == set()
    assert store.list_keys(f"{FOLDER}/") == []


def test_moto_compares_no_checksums_which_is_told_and_no_reason_to_refuse(open_moto, tmp_path: Path):
    store = open_moto()
    told = run("doctor", "--json")

    assert told.exit_code == 0, told.stderr
    assert f"missing  {CHECKSUMS}: taken" in told.stdout
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

        assert (told.exit_code, "does not keep what the registry rests on" in told.stderr) == (5, True)


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
    """What was seen is on record, and believed for a while."""

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
