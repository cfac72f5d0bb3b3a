"""What commands say of models that exist, and of those that do not. Alone: pytest tests/flows/commands/test_registry_commands.py."""

import dataclasses
import errno
import json
import logging
import os
import re
import secrets
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest

from flows.commands import predict
from flows.release import find_target
from schemas.errors import UsageError
from schemas.records.versions import ModelLog
from schemas.settings import Settings
from tasks.approval import reject
from tasks.methods.rules.decision import weigh
from tasks.services.registry.log import event_key, next_event, read_log
from tasks.services.registry.transfer import export_model
from tasks.services.registry.versions import GC_LEASE, add_version, append_event, list_models
from tasks.services.storage import leases
from tasks.services.storage.store import Store
from tests.flows.command import last_json, run
from tests.tasks.services.registry.keys import make_keys
from tests.tasks.services.registry.test_versions import make_event, make_manifest, promote
from tests.tasks.test_approval import RULE, propose


def name_three(store: Store) -> tuple[str, list[str]]:
    name = f"model-{secrets.token_hex(4)}"
    versions = [add_version(store, make_manifest(store, name, secrets.token_bytes(300))) for _ in range(3)]
    for version in versions:
        promote(store, name, version)
    return name, versions


@pytest.fixture
def named(store: Store) -> tuple[str, list[str]]:
    """A model whose alias has named three versions."""
    return name_three(store)


@pytest.fixture(scope="module")
def standing(store: Store) -> tuple[str, list[str]]:
    """Another such model, which no test changes."""
    return name_three(store)


@pytest.fixture
def bucket(store: Store, tmp_path, monkeypatch) -> Store:
    """One that no other test has damaged, and that commands use."""
    bucket = Store(dataclasses.replace(store.address, bucket=f"own-{secrets.token_hex(4)}"), tmp_path / "blobs")
    bucket.create_bucket()
    monkeypatch.setenv("TUNEGATE_BUCKET", bucket.bucket)
    return bucket


@pytest.fixture
def engineless(monkeypatch) -> None:
    """Whoever starts the Prefect engine fails."""

    def start() -> None:
        raise AssertionError("the Prefect engine was started")

    monkeypatch.setattr("flows.commands.promote.flow_runtime", start)


def rows_of(printed: str) -> list[list[str]]:
    """The cells of a table below its head."""
    return [re.split(r"\s{2,}", line.rstrip()) for line in printed.splitlines()[1:]]


def release(store: Store, name: str, kind: Literal["override", "rollback"], version: str, reason: str = "") -> None:
    """Move the alias as a command that nobody saw the answer of."""
    append_event(store, name, next_event(read_log(store, name), "champion", version, reason, kind))


def manifest_key(name: str, version: str) -> str:
    return f"models/{name}/versions/{version}/manifest.json"


def test_damaged_log_hides_no_other_model(named, store: Store):
    name, _ = named
    damaged = f"{name}-damaged"
    promote(store, damaged, add_version(store, make_manifest(store, damaged, secrets.token_bytes(300))))
    store.replace(event_key(damaged, 1), b"{}")
    found = run("models")
    store.delete(store.list_keys(f"models/{damaged}/"))

    assert (found.exit_code, event_key(damaged, 1) in found.stderr) == (5, True), found.stderr
    assert [line.split()[:2] for line in found.stdout.splitlines() if name in line] == [
        [name, "champion"],
        [damaged, "-"],
    ]


@pytest.mark.parametrize(
    "command",
    [
        "models {0}",
        "history {0}",
        "verify {0}",
        "verify {0}@champion",
        "sign {0}",
        "sign {0}@champion",
        "pull {0}@champion {1}/served",
        "export {0} {1}/moved",
        "pin {0}@champion --reason x",
        "unpin {0}@champion",
        "predict {0}@champion x",
        "proposals {0}",
        "approve {0} 0123456789ab",
        "reject {0} 0123456789ab --reason x",
        "rollback {0} --reason x",
        "rollback {0} --reason x --to 0123456789ab",
        "promote {0} 0123456789ab --reason x --override",
    ],
)
def test_model_that_does_not_exist_is_refused_with_those_that_do(
    standing, engineless, command: str, tmp_path, monkeypatch
):
    make_keys(tmp_path, "ours").configure(monkeypatch)
    found = run(*command.format(f"{standing[0]}x", tmp_path).split())

    assert (found.exit_code, f"There is no model '{standing[0]}x'" in found.stderr) == (2, True), found.stderr
    assert standing[0] in found.stderr


def test_version_that_a_collection_took_is_told_as_retired_and_is_no_fault(named, store: Store):
    name, (first, second, third) = named
    store.delete([manifest_key(name, first)])
    found = run("verify", name)

    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in found.stdout.splitlines()}
    assert found.exit_code == 0, found.stdout
    assert lines[first[:12]].startswith("retired")
    assert {lines[what] for what in ("log", second[:12], third[:12])} == {"as it should be"}


def test_version_that_an_alias_names_is_no_retired_one(named, store: Store):
    name, (first, _, third) = named
    store.delete([manifest_key(name, first), manifest_key(name, third)])
    found = run("verify", name)

    assert found.exit_code == 5
    assert f"{manifest_key(name, third)}: this version is named but its manifest is missing" in found.stdout
    assert manifest_key(name, first) not in found.stdout


def test_log_that_cannot_be_read_retires_nothing(named, store: Store):
    name, (first, second, _) = named
    store.replace(f"models/{name}/log/{1:016d}.json", b"{}")
    store.delete([manifest_key(name, second)])
    found = run("verify", name)

    assert (found.exit_code, "retired" in found.stdout) == (5, False)
    assert f"{first[:12]}  as it should be" in found.stdout


def test_folder_that_is_no_models_stops_no_command(bucket: Store, caplog):
    logging.getLogger("tasks").propagate = True
    bucket.replace("models/Foo/x", b"stray")
    add_version(bucket, make_manifest(bucket, "kept"))
    listed, collected = run("models"), run("gc")

    assert list_models(bucket) == ["kept"]
    assert "not valid model names: Foo." in caplog.text
    assert (listed.exit_code, collected.exit_code) == (0, 0), listed.stderr + collected.stderr
    assert "kept" in listed.stdout


def test_dry_run_of_a_collection_says_what_would_be(bucket: Store):
    add_version(bucket, make_manifest(bucket, "kept", b"refused"))
    found = run("gc", "--days", "0", "--versions", "3")

    assert "would be condemned" in found.stdout
    assert "Nothing was changed. `tunegate gc --apply --versions 3 --days 0` condemns it" in found.stdout
    assert not [line for line in found.stdout.splitlines() if line.split()[1:2] == ["condemned"]]


def test_repeated_rollback_to_the_first_version_says_that_it_is_done(named, engineless, store: Store):
    name, (first, _, _) = named
    release(store, name, "rollback", first)
    found = run("rollback", name, "--reason", "wrong at night")

    assert (found.exit_code, f"was rolled back to {first[:12]} already" in found.stderr) == (2, True), found.stderr
    assert "name it: --to VERSION" in found.stderr


def test_repeated_rollback_offers_the_version_before_and_none_that_was_taken_back(named, engineless, store: Store):
    name, (first, second, _) = named
    release(store, name, "rollback", second)
    found = run("rollback", name, "--reason", "wrong at night")

    assert (found.exit_code, f"was rolled back to {second[:12]} already" in found.stderr) == (2, True), found.stderr
    assert f"--to {first[:12]}" in found.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["rollback", "{0}x"],
        ["rollback", "{0}", "--alias", "canary"],
        ["rollback", "{0}", "--to", "ffffffffffff"],
        ["promote", "{0}x", "champion", "--override"],
        ["promote", "{0}", "ffffffffffff", "--override"],
        ["promote", "{0}", "ffffffffffff", "--recipe", "{1}"],
        ["approve", "{0}x", "champion"],
        ["approve", "{0}", "ffffffffffff"],
    ],
)
def test_what_is_not_there_is_told_before_the_engine_is_started(
    standing, engineless, make_recipe, arguments: list[str]
):
    name, _ = standing
    found = run(*(part.format(name, make_recipe(name)) for part in arguments), "--reason", "typo")

    assert found.exit_code == 2, found.stderr


@pytest.mark.parametrize(
    "command",
    [
        "pin {0}@{1} --reason x",
        "pull {0}@{1} served",
        "rollback {0} --reason x --to {1}",
        "promote {0} {1} --reason x --override",
        "approve {0} {1}",
    ],
)
def test_version_that_does_not_exist_is_refused_with_how_to_name_one(standing, engineless, command: str):
    name, (first, _, _) = standing
    unknown = run(*command.format(name, "ffffffffffff").split())
    short = run(*command.format(name, first[:7]).split())

    assert (unknown.exit_code, f"`tunegate models {name}`" in unknown.stderr) == (2, True), unknown.stderr
    assert "digits" not in unknown.stderr
    assert (short.exit_code, "at least 8 digits" in short.stderr) == (2, True), short.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["promote", "{0}", "", "--override", "--reason", "x"],
        ["promote", "{0}", "", "--override", "--reason", "x", "--dry-run"],
        ["rollback", "{0}", "--to", "", "--reason", "x"],
        ["approve", "{0}", ""],
        ["reject", "{0}", "", "--reason", "x"],
    ],
)
def test_version_that_is_empty_names_none(standing, engineless, arguments: list[str]):
    found = run(*(part.format(standing[0]) for part in arguments))

    assert (found.exit_code, "Beware" in found.stderr) == (2, False), found.stderr


@pytest.mark.parametrize("alias", ["Champion", "a b", ""])
@pytest.mark.parametrize(
    "command",
    [
        "rollback {0}",
        "promote {0} champion --override",
        "promote {0} champion --override --dry-run",
        "promote {0} champion --recipe {1}",
        "approve {0} champion",
        "reject {0} champion",
    ],
)
def test_alias_that_is_no_name_is_refused_before_anything_is_read(
    standing, engineless, make_recipe, command: str, alias: str
):
    name, _ = standing
    found = run(*command.format(name, make_recipe(name)).split(), "--reason", "x", "--alias", alias)

    assert (found.exit_code, "Traceback" in found.stderr) == (2, False), found.stderr
    assert "alias" in found.stderr


def test_override_from_the_form_with_no_version_goes_nowhere(named, store: Store):
    name, _ = named
    for kind in ("override", "approve"):
        with pytest.raises(UsageError, match=f"the version for {kind} is empty"):
            find_target(read_log(store, name), name, kind, None, "champion")


def test_second_rollback_names_the_option_for_a_version_even_if_none_is_left(monkeypatch):
    monkeypatch.setattr("flows.release.current_store", lambda: None)
    log = ModelLog(events=(), head_sha256=None)
    for version in ("a" * 64, "b" * 64):
        log = log.model_copy(update={"events": (*log.events, make_event(log, version))})
    back = make_event(log, "a" * 64).model_copy(
        update={"kind": "rollback", "gate_sha256": None, "reason": "wrong at night"}
    )
    log = log.model_copy(update={"events": (*log.events, back)})

    with pytest.raises(UsageError, match="already, .*: wrong at night. .*name it: --to VERSION. `tunegate history x`"):
        find_target(log, "x", "rollback", None, "champion")


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("pull {0}@champion /proc/served", "/proc/"),
        ("export {0} /proc/moved", "/proc/moved"),
        ("export {0} {1}/file/moved", "/file/moved"),
    ],
)
def test_folder_that_cannot_be_written_is_told_in_a_sentence(standing, command: str, where: str, tmp_path):
    (tmp_path / "file").touch()
    found = run(*command.format(standing[0], tmp_path).split())

    assert (found.exit_code, "Traceback" in found.stderr) == (2, False), found.stderr
    assert where in found.stderr
    assert "Free space or choose another" in found.stderr


def test_disk_that_is_full_is_told_in_a_sentence(standing, tmp_path, monkeypatch):
    def place(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tasks.services.registry.pull._place", place)
    found = run("pull", f"{standing[0]}@champion", tmp_path / "served")

    assert (found.exit_code, f"No space left on device, so not all of {tmp_path / 'served'}" in found.stderr) == (
        2,
        True,
    )
    assert f"{tmp_path / 'served'} or TUNEGATE_HOME ({Settings().home}): " in found.stderr


@pytest.mark.parametrize("command", ["pin {0}@champion --reason audit", "import {1}", "gc --apply"])
def test_command_that_waits_for_a_collection_says_so(bucket: Store, tmp_path, monkeypatch, command: str):
    promote(bucket, "awaited", add_version(bucket, make_manifest(bucket, "awaited")))
    export_model(bucket, "awaited", tmp_path / "out")
    with ExitStack() as collector:
        collector.enter_context(leases.sole_holder(bucket, GC_LEASE))
        # Whoever waits lets the collector end.
        monkeypatch.setattr(leases, "_pause", collector.close)
        found = run(*command.format("awaited", tmp_path / "out").split())

    assert (found.exit_code, f"process {os.getpid()} on " in found.stderr) == (0, True), found.stderr
    assert "waiting for process" in found.stderr


@pytest.mark.parametrize("days", ["36501", "inf", "nan", "-1"])
def test_collection_of_no_number_of_days_is_refused(bucket: Store, days: str):
    found = run("gc", "--days", days)

    assert (found.exit_code, "Traceback" in found.stderr) == (2, False), found.stderr


@pytest.mark.parametrize("recipe", [{}, {"problem": {"kind": "one of tomorrow"}}])
def test_version_of_another_tunegate_is_refused_by_who_would_load_it(engineless, store: Store, recipe: dict):
    name = f"model-{secrets.token_hex(4)}"
    manifests = [make_manifest(store, name, content).model_copy(update={"recipe": recipe}) for content in (b"a", b"b")]
    for manifest in manifests:
        promote(store, name, add_version(store, manifest))
    version, reason = manifests[0].version, ("--reason", "x", "--dry-run")

    for refused in (
        run("predict", f"{name}@champion", "a text"),
        run("rollback", name, *reason),
        run("promote", name, version, "--override", *reason),
    ):
        assert (refused.exit_code, "Traceback" in refused.stderr) == (5, False), refused.stderr
        assert "not a manifest that this version of tunegate can read: recipe.problem is" in refused.stderr
    assert run("verify", name).exit_code == 0


@pytest.mark.parametrize("content", ['{"id2label": {"0": "b', "[]", ""])
def test_folder_whose_configuration_was_cut_off_is_damage(tmp_path, content: str):
    (tmp_path / "config.json").write_text(content)
    found = run("predict", tmp_path, "a text")

    assert (found.exit_code, f"{tmp_path / 'config.json'}: it is no JSON object" in found.stderr) == (5, True)
    assert "Traceback" not in found.stderr


def test_predict_by_a_folder_that_fails_without_words_is_exit_5(tiny_model: Path, tmp_path: Path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError

    shutil.copytree(tiny_model, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": {"0": "bad", "1": "great"}}))
    monkeypatch.setattr(predict, "_predict", fail)
    found = run("predict", tmp_path, "text")

    assert found.exit_code == 5
    assert f"{tmp_path}: this model cannot be used: OSError: no message. Pull" in found.stderr


def test_predict_by_a_folder_whose_weights_were_cut_is_exit_5(tmp_path: Path, tiny_model: Path):
    shutil.copytree(tiny_model, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": {"0": "bad", "1": "great"}}))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    cut = run("predict", tmp_path, "a text")
    weights.unlink()
    lost = run("predict", tmp_path, "a text")

    assert [cut.exit_code, lost.exit_code] == [5, 5]
    assert f"{tmp_path}: this model cannot be used: model.safetensors is no whole safetensors file" in cut.stderr
    assert "has weights in no safetensors file; expected model.safetensors" in lost.stderr


@pytest.mark.parametrize("command", ["pull {0} served", "pull {0}@ served", "pin {0} --reason x", "unpin {0}"])
def test_reference_without_an_alias_is_told_how_to_write_one(standing, command: str):
    found = run(*command.format(standing[0]).split())

    assert (found.exit_code, f"such as {standing[0]}@champion" in found.stderr) == (2, True), found.stderr


def test_candidate_that_is_not_there_is_told_before_the_engine_is_started(standing, engineless, make_recipe):
    found = run("gate", make_recipe("typo"), "--candidate", f"{standing[0]}x@champion")

    assert (found.exit_code, "There is no model" in found.stderr) == (2, True), found.stderr


def test_release_tells_from_where_to_where_and_what_speaks_against_it(named, engineless, store: Store, monkeypatch):
    monkeypatch.setattr("flows.release.check_loads", lambda *_: None)
    name, (first, second, third) = named
    sound = run("rollback", name, "--reason", "x", "--dry-run")
    release(store, name, "rollback", first, "wrong at night")
    returned = run("promote", name, third, "--override", "--reason", "x", "--dry-run")
    waived = add_version(store, make_manifest(store, name, secrets.token_bytes(300)))
    unjudged = run("promote", name, waived, "--override", "--reason", "x", "--dry-run")
    release(store, name, "override", waived, "in a hurry")
    promote(store, name, second)
    again = run("rollback", name, "--reason", "x", "--dry-run")

    assert f"{name}@champion would name {second[:12]} instead of {third[:12]}" in sound.stdout
    assert "Beware" not in sound.stderr
    assert f"Beware: {name}@{third[:12]}: " in returned.stderr
    assert "took it back" in returned.stderr
    assert "wrong at night" in returned.stderr
    assert "no verdict in the log has passed it" in unjudged.stderr
    assert "promoted it past the gate" in again.stderr
    assert "in a hurry" in again.stderr


def test_release_tells_that_a_person_has_rejected_the_version(named, engineless, store: Store, monkeypatch):
    monkeypatch.setattr("flows.release.check_loads", lambda *_: None)
    name, _ = named
    version = add_version(store, make_manifest(store, name, secrets.token_bytes(300)))
    propose(store, name, weigh((RULE,), rows=100), version)
    reject(store, name, version, "champion", "rude at night")
    found = run("promote", name, version, "--override", "--reason", "x", "--dry-run")

    assert (found.exit_code, "rejected it" in found.stderr) == (0, True), found.stderr
    assert "rude at night" in found.stderr


def test_collection_names_the_versions_that_go(bucket: Store):
    version = add_version(bucket, make_manifest(bucket, "unnamed"))
    foreseen, condemned = run("gc", "--days", "0"), run("gc", "--days", "0", "--apply")

    assert f"would be condemned: unnamed@{version[:12]}" in foreseen.stdout.splitlines()
    assert f"condemned: unnamed@{version[:12]}" in condemned.stdout.splitlines()
    assert "goes with `tunegate gc --apply --days 0` a day from now" in condemned.stdout


def test_collection_that_finds_nothing_says_so(bucket: Store):
    add_version(bucket, make_manifest(bucket, "kept"))
    empty, applied = run("gc"), run("gc", "--apply")

    assert "There is nothing to collect: " in empty.stdout
    assert "There is nothing to collect: " in applied.stdout
    assert "Nothing was changed" not in empty.stdout


def test_pin_of_a_pinned_version_tells_the_reason_before(named, store: Store):
    name, _ = named
    first = run("pin", f"{name}@champion", "--reason", "for the audit")
    again = run("pin", f"{name}@champion", "--reason", "for the court")
    store.replace(next(iter(store.list_keys(f"models/{name}/pins/"))), b"damaged")
    mended = run("pin", f"{name}@champion", "--reason", "for both")

    assert "before" not in first.stdout
    assert "for the audit" in again.stdout
    assert "unreadable" in mended.stdout


def test_verify_looks_at_the_key_before_it_reads_anything(named, tmp_path, monkeypatch):
    (tmp_path / "key.pub").write_text("no key")
    monkeypatch.setenv("TUNEGATE_PUBLIC_KEY", str(tmp_path / "key.pub"))
    found = run("verify", named[0])

    assert (found.exit_code, found.stdout) == (2, "")
    assert "TUNEGATE_PUBLIC_KEY" in found.stderr


def test_versions_are_shown_with_how_they_came_in_and_what_keeps_them(named, store: Store):
    name, (first, second, third) = named
    unnamed = add_version(store, make_manifest(store, name, secrets.token_bytes(300)))
    release(store, name, "rollback", second, "wrong at night")
    run("pin", f"{name}@{first}", "--reason", "for the audit")
    shown = {row[0]: row[2:] for row in rows_of(run("models", name).stdout)}
    found = last_json(run("models", name, "--json"))
    versions = {one["version"]: one for one in found["versions"]}

    assert shown == {
        first[:12]: ["promote", "-", "for the audit"],
        second[:12]: ["promote, rollback", "champion", "-"],
        third[:12]: ["promote, taken back", "-", "-"],
        unnamed[:12]: ["-", "-", "-"],
    }
    assert (found["model"], set(versions)) == (name, {first, second, third, unnamed})
    assert versions[first]["pin"]["reason"] == "for the audit"
    assert versions[second]["aliases"] == ["champion"]


def test_models_and_their_damage_are_told_to_programs_too(bucket: Store):
    versions = [add_version(bucket, make_manifest(bucket, name)) for name in ("damaged", "kept", "new")]
    for name, version in zip(("damaged", "kept"), versions, strict=False):
        promote(bucket, name, version)
    bucket.replace(event_key("damaged", 1), b"{}")
    found = run("models", "--json")
    damaged, kept, new = last_json(found)["models"]

    assert found.exit_code == 5
    assert (damaged["model"], event_key("damaged", 1) in damaged["damage"]) == ("damaged", True)
    assert kept == {"model": "kept", "aliases": {"champion": versions[1]}, "num_versions": 1, "damage": None}
    assert new == {"model": "new", "aliases": {}, "num_versions": 1, "damage": None}


def test_history_is_a_line_an_event_unless_all_is_asked_for(standing, store: Store):
    name, (first, _, _) = standing
    release(store, name, "rollback", first, f"beginning {'long ' * 200}finally")
    short, whole = run("history", name).stdout, run("history", name, "--verbose").stdout
    found = last_json(run("history", name, "--json"))

    assert [row[0] for row in rows_of(short)] == ["1", "2", "3", "4"]
    assert max(map(len, short.splitlines())) < 140
    assert ("beginning" in short, "finally" in short, "finally" in whole) == (True, False, True)
    assert [event["kind"] for event in found["events"]] == ["promote"] * 3 + ["rollback"]
    assert found["events"][-1]["reason"].endswith("finally")


def test_verify_tells_programs_what_it_found(named, store: Store):
    name, (first, second, third) = named
    store.delete([manifest_key(name, first), manifest_key(name, third)])
    result = run("verify", name, "--json")
    found = last_json(result)

    assert result.exit_code == 5
    assert (found["reference"], found["retired"]) == (name, [first])
    assert {what: bool(faults) for what, faults in found["checked"].items()} == {
        "log": False,
        second: False,
        third: True,
    }
