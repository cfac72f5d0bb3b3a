"""Taking a promotion back, and promoting past the gate. Alone: pytest tests/flows/test_release.py."""

import secrets

import pytest

from schemas.records.versions import Manifest
from schemas.settings import Settings
from tasks.services.local.object_store import open_store
from tasks.services.registry.log import read_log
from tasks.services.registry.versions import add_version, append_event, read_manifest
from tasks.services.storage.store import blob_key
from tests.flows.command import last_json, run
from tests.tasks.services.registry.test_versions import make_event

pytestmark = pytest.mark.usefixtures("prefect_engine")
EASY = {"at_least": 0.5, "non_inferiority_margin": 0.5}


@pytest.fixture(scope="module")
def trained(make_module_recipe, prefect_engine) -> list[Manifest]:
    """Two models that runs have promoted."""
    recipe = make_module_recipe("released", rows_seed=101, gate=EASY)
    runs = [run("run", recipe, "--json", "--set", f"training.seeds=[{seed}]") for seed in (1, 2)]
    found = [last_json(one) for one in runs]
    assert [one["outcome"] for one in found] == ["promoted", "promoted"], runs[-1].stderr
    return [read_manifest(open_store(Settings()), "released", one["model"]["version"]) for one in found]


@pytest.fixture
def promoted(trained: list[Manifest]) -> tuple[str, list[str]]:
    """A model of its own whose alias has named the two, and their versions."""
    name, store = f"released-{secrets.token_hex(4)}", open_store(Settings())
    versions = [add_version(store, manifest.model_copy(update={"model": name})) for manifest in trained]
    for version in versions:
        append_event(store, name, make_event(read_log(store, name), version))
    return name, versions


def champion(name: str) -> str:
    return read_log(open_store(Settings()), name).aliases["champion"]


def test_rollback_names_the_version_before_and_says_why(promoted):
    name, (first, second) = promoted
    dry = run("rollback", name, "--reason", "wrong at night", "--dry-run")

    assert (dry.exit_code, champion(name)) == (0, second)
    assert f"would name {first[:12]}" in dry.stdout

    done = run("rollback", name, "--reason", "wrong at night")
    event = read_log(open_store(Settings()), name).events[-1]

    assert (done.exit_code, champion(name)) == (0, first), done.stderr
    assert f"names {first[:12]} instead of {second[:12]}" in done.stdout
    assert (event.kind, event.from_version, event.to_version) == ("rollback", second, first)
    assert (event.reason, event.gate_sha256) == ("wrong at night", None)
    assert "wrong at night" in run("history", name).stdout

    further = run("rollback", name, "--reason", "further")
    assert (further.exit_code, champion(name)) == (2, first)
    assert f"was rolled back to {first[:12]} already" in further.stderr


def test_rollback_that_is_repeated_goes_no_further_unless_told(promoted):
    name, (first, second) = promoted
    store = open_store(Settings())
    append_event(store, name, make_event(read_log(store, name), first))
    once = run("rollback", name, "--reason", "wrong at night")
    again = run("rollback", name, "--reason", "wrong at night")

    assert (once.exit_code, again.exit_code, champion(name)) == (0, 2, second)
    assert f"was rolled back to {second[:12]} already" in again.stderr
    assert f"--to {first[:12]}" not in again.stderr, "it would offer what was just taken back"
    assert "--to VERSION" in again.stderr
    assert run("rollback", name, "--reason", "further", "--to", first[:12]).exit_code == 0
    assert champion(name) == first


def test_version_with_an_altered_byte_is_not_gone_back_to(promoted):
    name, (first, second) = promoted
    store = open_store(Settings())
    (weights,) = (blob for file, blob in read_manifest(store, name, first).files.items() if file == "model.safetensors")
    content = store.read(blob_key(weights.digest))
    store.replace(blob_key(weights.digest), content[:-1] + bytes([content[-1] ^ 1]))
    found = run("rollback", name, "--reason", "hurry")
    checked = run("verify", name)
    store.replace(blob_key(weights.digest), content)

    assert (found.exit_code, champion(name)) == (5, second)
    assert blob_key(weights.digest) in found.stderr
    assert "Traceback" not in found.stderr
    assert checked.exit_code == 5
    assert blob_key(weights.digest) in checked.stdout
    assert run("verify", f"{name}@champion").exit_code == 0


def test_version_whose_right_bytes_are_no_model_is_not_gone_back_to(promoted):
    name, (first, second) = promoted
    store = open_store(Settings())
    manifest = read_manifest(store, name, first)
    files = manifest.files | {"model.safetensors": store.put_bytes(b"garbage")}
    broken = add_version(store, manifest.model_copy(update={"files": files}))
    for version in (broken, second):
        append_event(store, name, make_event(read_log(store, name), version))
    back = run("rollback", name, "--reason", "hurry")
    past = run("promote", name, broken, "--override", "--reason", "hurry")

    for refused in (back, past):
        assert (refused.exit_code, champion(name)) == (5, second)
        assert f"Corrupt: {name}@{broken[:12]} does not load" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_promotion_by_hand_asks_the_recipes_gate(promoted, make_recipe):
    name, (first, second) = promoted
    strict = make_recipe(name, rows_seed=101, gate={"at_least": 0.5, "required_gain": 0.9})
    refused = run("promote", name, first[:10], "--recipe", strict)
    kept = champion(name)
    recipe = make_recipe(name, rows_seed=101, gate=EASY)
    done = run("promote", name, first[:10], "--recipe", recipe, "--reason", "better in Finnish")
    event = read_log(open_store(Settings()), name).events[-1]

    assert (refused.exit_code, kept) == (1, second), refused.stderr
    assert (done.exit_code, champion(name)) == (0, first), done.stderr
    assert (event.kind, event.from_version, event.gate_sha256 is None) == ("promote", second, False)
    assert event.reason.startswith("better in Finnish; macro_f1")
    assert not {"train", "tokenize"} & {line.split()[0] for line in done.stdout.splitlines() if line}
    other = run("promote", "other", first[:10], "--recipe", recipe)
    assert (other.exit_code, "not 'other'" in other.stderr) == (2, True)


def test_version_that_was_taken_back_is_not_promoted_again_unless_by_hand(make_recipe):
    recipe = make_recipe("returned", rows_seed=101, gate=EASY)
    first, second = (last_json(run("run", recipe, "--json", "--set", f"training.seeds=[{seed}]")) for seed in (1, 2))
    run("rollback", "returned", "--reason", "wrong at night")
    nightly = run("run", recipe, "--json", "--set", "training.seeds=[2]")
    found = last_json(nightly)

    assert (second["outcome"], nightly.exit_code, found["outcome"]) == ("promoted", 1, "rejected")
    assert champion("returned") == first["model"]["version"]
    shown = run("run", recipe, "--set", "training.seeds=[2]").stdout
    assert "wrong at night" in shown
    command = f"tunegate promote returned {second['model']['version'][:12]} --recipe"
    assert command in shown
    assert run(*command.split()[1:], recipe, "--reason", "it was the cable").exit_code == 0
    assert champion("returned") == second["model"]["version"]


def test_rollback_takes_nothing_back_that_was_promoted_meanwhile(promoted, monkeypatch):
    from flows import release

    name, (first, _) = promoted
    store, check = open_store(Settings()), release.check_loads

    def check_slowly(*arguments: str) -> None:
        check(*arguments)
        append_event(store, name, make_event(read_log(store, name), first))

    monkeypatch.setattr(release, "check_loads", check_slowly)
    found = run("rollback", name, "--reason", "wrong at night")

    assert (found.exit_code, "has moved meanwhile" in found.stderr) == (5, True), found.stderr
    assert [event.kind for event in read_log(store, name).events] == ["promote"] * 3


@pytest.mark.parametrize(
    ("command", "meanwhile"), [(["rollback"], [0]), (["promote", "--override"], [0, 1])], ids=["rollback", "override"]
)
def test_release_changes_nothing_that_moved_after_it_was_told(promoted, monkeypatch, command, meanwhile):
    """Somebody promotes before the engine has started."""
    from flows import release

    name, versions = promoted
    store, (verb, *options) = open_store(Settings()), command

    def tell_slowly(*_: object) -> list[str]:
        for number in meanwhile:
            append_event(store, name, make_event(read_log(store, name), versions[number]))
        return []

    monkeypatch.setattr(release, "find_doubts", tell_slowly)
    found = run(verb, name, *([versions[0]] if options else []), "--reason", "wrong at night", *options)

    assert (found.exit_code, "has moved meanwhile" in found.stderr) == (5, True), found.stderr
    assert {event.kind for event in read_log(store, name).events} == {"promote"}


def test_release_from_a_form_takes_the_alias_as_it_is(promoted):
    from flows.release import release

    name, (first, _) = promoted

    assert release(name, "rollback", "wrong at night").to_version == first
    assert champion(name) == first


def test_model_that_is_damaged_in_the_store_alone_is_not_promoted(make_recipe):
    recipe = make_recipe("altered", rows_seed=101, gate=EASY)
    version = last_json(run("run", recipe, "--json", "--no-promote"))["model"]["version"]
    store = open_store(Settings())
    key = blob_key(read_manifest(store, "altered", version).files["model.safetensors"].digest)
    content = store.read(key)
    store.replace(key, content[:-1] + bytes([content[-1] ^ 1]))
    found = run("run", recipe)
    store.replace(key, content)

    assert (found.exit_code, key in found.stderr) == (5, True), found.stderr
    assert read_log(store, "altered").events == ()


def test_promotion_past_the_gate_is_meant_and_on_record(promoted):
    name, (first, _) = promoted
    refused = run("promote", name, first[:10], "--reason", "the old one is better in Finnish")
    done = run("promote", name, first[:10], "--reason", "the old one is better in Finnish", "--override")

    assert refused.exit_code == 2
    assert "or --override" in refused.stderr
    assert (done.exit_code, champion(name)) == (0, first), done.stderr
    assert read_log(open_store(Settings()), name).events[-1].kind == "override"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reason", " "], "--reason is empty"),
        (["--reason", "x", "--to", "ffffffffffff"], "'ffffffffffff' is neither an alias nor a version"),
        (["--reason", "x", "--alias", "canary"], "there is no such alias; there are: champion"),
        (["--reason", "x", "--to", "champion"], "already"),
    ],
)
def test_rollback_to_nowhere_is_exit_2(promoted, arguments: list[str], message: str):
    found = run("rollback", promoted[0], *arguments)

    assert (found.exit_code, message in found.stderr) == (2, True), found.stderr


def test_pulled_model_answers_as_the_one_in_the_registry(promoted, tmp_path):
    name, _ = promoted
    pulled = run("pull", f"{name}@champion", tmp_path / "served")

    assert pulled.exit_code == 0, pulled.stderr
    served, stored = (
        run("predict", where, "a lovely fresh meal", "--json") for where in (tmp_path / "served", f"{name}@champion")
    )
    assert last_json(served) == last_json(stored)


def test_doctor_approves_of_the_embedded_store():
    found = run("doctor", "--json")

    assert found.exit_code == 0
    assert len(last_json(found)["findings"]) == 7
