"""The gate for models that exist, as CI calls it. Alone: pytest tests/flows/test_regate.py."""

import json
import secrets
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from lxml import etree

from schemas.records.references import ModelRef
from schemas.settings import Settings
from tasks.services.local.object_store import open_store
from tasks.services.registry.log import read_log
from tasks.services.registry.versions import add_version, append_event, read_manifest, unpacked
from tasks.services.storage.store import blob_key
from tests.flows.command import last_json, run
from tests.tasks.services.registry.test_versions import make_event

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).with_name("junit.xsd")))

pytestmark = pytest.mark.usefixtures("prefect_engine")


@pytest.fixture(scope="module")
def gated(make_module_recipe, prefect_engine):
    """A recipe whose champion is good, and the version of a model that hardly learned."""
    recipe = make_module_recipe("gated", rows_seed=91)
    good = last_json(run("run", recipe, "--json"))
    poor = last_json(run("run", recipe, "--json", "--set", "training.epochs=1", "--set", "training.learning_rate=1e-6"))
    assert (good["outcome"], poor["outcome"]) == ("promoted", "refused")
    return recipe, good["model"]["version"], poor["model"]["version"]


def test_worse_model_is_refused_and_the_files_say_why(gated, tmp_path: Path):
    recipe, _, poor = gated
    found = run("gate", recipe, "--candidate", f"gated@{poor}", "--out", tmp_path / "out", "--json")
    verdict = last_json(found)
    cases = ET.parse(tmp_path / "out" / "junit.xml").getroot().findall("testsuite/testcase")
    comment = (tmp_path / "out" / "gate.md").read_text()

    assert (found.exit_code, verdict["decision"]) == (1, "refuse")
    SCHEMA.assertValid(etree.parse(tmp_path / "out" / "junit.xml"))
    assert json.loads((tmp_path / "out" / "gate.json").read_text()) == verdict
    assert [case.get("name") for case in cases] == [rule["name"] for rule in verdict["rules"]]
    assert [case.find("failure") is not None for case in cases] == [True, True]
    assert comment.startswith("<!-- tunegate gate: gated -->")
    assert "Do not promote this model." in comment
    assert all(rule["name"] in comment for rule in verdict["rules"])
    assert len(comment) < 65_536
    assert [event.to_version for event in read_log(open_store(Settings()), "gated").events] == [gated[1]]


def test_better_model_passes_and_is_not_promoted(gated, tmp_path: Path):
    recipe, good, poor = gated
    found = run("gate", recipe, "--candidate", f"gated@{good}", "--against", f"gated@{poor}", "--out", tmp_path)

    assert found.exit_code == 0
    assert "Passed" in found.stdout
    assert ET.parse(tmp_path / "junit.xml").getroot().get("failures") == "0"


def test_folder_is_judged_as_its_version_is(gated, tmp_path: Path):
    recipe, _, poor = gated
    store = open_store(Settings())
    with unpacked(store, ModelRef.of(read_manifest(store, "gated", poor).files)) as folder:
        of_folder = run("gate", recipe, "--candidate", folder, "--json")
    again = run("gate", recipe, "--candidate", f"gated@{poor}", "--json")

    assert last_json(of_folder) == last_json(again)
    # Same files, same rows: the answers were there already.
    assert "evaluate           cached" in of_folder.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--candidate", "gated@nobody"], 2, "neither an alias nor a version of 'gated'"),
        (["--candidate", "nowhere"], 2, "expected NAME@ALIAS, NAME@VERSION or a folder with config.json"),
        (
            ["--candidate", "gated@champion", "--against", "other@champion"],
            2,
            "the recipe promotes 'gated', not 'other'",
        ),
        (["--candidate", "gated@champion", "--against", ""], 2, "--against '' names nothing"),
        (["--candidate", "gated@champion", "--against", "gated@"], 2, "--against 'gated@' names nothing"),
        (["--candidate", "gated@champion", "--against", "nobody"], 2, "gate.against is 'nobody', neither an alias"),
        (
            ["--candidate", "gated@champion", "--against", "canary", "--set", "promotion.alias=canary"],
            2,
            "gate.against is 'canary', neither an alias",
        ),
        (
            ["--candidate", "gated@champion", "--set", "problem.labels=[fine, bad, great]"],
            2,
            "they cannot be compared. Name another --candidate",
        ),
    ],
)
def test_model_that_does_not_exist_is_named(gated, arguments, exit_code: int, message: str):
    found = run("gate", gated[0], *arguments)

    assert (found.exit_code, message in found.stderr) == (exit_code, True), found.stderr


def test_run_that_does_not_come_to_its_end_leaves_no_earlier_verdict(gated, tmp_path: Path):
    for name in ("gate.md", "gate.json", "junit.xml"):
        (tmp_path / name).write_text("passed")
    run("gate", gated[0], "--candidate", "gated@nobody", "--out", tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["gate.md"]
    assert (tmp_path / "gate.md").read_text().startswith("<!-- tunegate gate: gated -->\n")
    assert "No verdict" in (tmp_path / "gate.md").read_text()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": "{}"}, "and weights in *.safetensors"),
        ({"config.json": "{}", "a.safetensors": "", "tuning.json": "{}"}, "was not written by tunegate"),
    ],
)
def test_folder_that_is_no_model_is_refused(gated, tmp_path: Path, files: dict[str, str], message: str):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    found = run("gate", gated[0], "--candidate", tmp_path)

    assert (found.exit_code, message in found.stderr) == (2, True), found.stderr


def test_program_gets_an_object_where_the_gate_fails(gated):
    found = last_json(run("gate", gated[0], "--candidate", "gated@nobody", "--json"))

    assert found["outcome"] == "failed"
    assert "neither an alias" in found["error"]


def test_champion_against_itself_passes_a_margin(gated):
    found = last_json(run("gate", gated[0], "--candidate", "gated@champion", "--json"))

    assert found["decision"] == "pass"
    assert found["rules"][1]["measured"] == 0


def test_earlier_champion_that_a_collection_took_is_not_asked(gated):
    """It is as gone as a collection leaves it; one that is damaged is another matter."""
    recipe, good, _ = gated
    store, name = open_store(Settings()), f"gated-{secrets.token_hex(4)}"
    manifest = read_manifest(store, "gated", good).model_copy(update={"model": name})
    earlier, present = (add_version(store, manifest.model_copy(update={"code": digit * 64})) for digit in "01")
    for version in (earlier, present):
        append_event(store, name, make_event(read_log(store, name), version))
    command = ("gate", recipe, "--candidate", f"{name}@{present}", "--set", f"promotion.model={name}")
    key = f"models/{name}/versions/{earlier}/manifest.json"
    store.replace(key, b"{}")
    damaged = run(*command)
    store.delete([key])
    found = run(*command)

    assert (damaged.exit_code, key in damaged.stderr) == (5, True), damaged.stderr
    assert found.exit_code == 0, found.stderr
    assert f"not compared with retired champions: {earlier[:12]}" in found.stderr


def test_rows_that_break_the_contract_are_exit_4_with_a_case_each(gated, tmp_path: Path):
    found = run(
        "gate",
        gated[0],
        "--candidate",
        "gated@champion",
        "--set",
        "contract.rows.min=5000",
        "--out",
        tmp_path,
        "--json",
    )

    assert (found.exit_code, last_json(found)) == (4, {"decision": "data-refused"})
    SCHEMA.assertValid(etree.parse(tmp_path / "junit.xml"))
    assert int(ET.parse(tmp_path / "junit.xml").getroot().get("failures")) >= 1


@pytest.mark.slow
def test_time_memory_and_size_are_asked_where_the_recipe_names_budgets(gated):
    budgets = "gate.budgets={latency_p50: 50, latency_p95: 50, time_per_row: 50, memory: 50, size: 1.0}"
    found = run("gate", gated[0], "--candidate", f"gated@{gated[1]}", "--against", gated[2], "--json", "--set", budgets)
    rules = {rule["name"]: rule for rule in last_json(found)["rules"]}

    assert "measure            ran" in found.stderr
    assert rules["budget: size"]["measured"] == pytest.approx(1, abs=1e-6)
    assert rules["budget: latency_p50"]["decision"] == "pass"
    assert {name for name in rules if name.startswith("budget")} == {
        f"budget: {name}" for name in ("latency_p50", "latency_p95", "time_per_row", "memory", "size")
    }


def test_guard_rails_slices_and_calibration_are_asked_of_a_candidate(gated):
    more = ["gate.guard_rails=[commonest, words]", "gate.slices={margin: 0.3}", "gate.max_calibration_error=0.5"]
    overrides = [part for one in more for part in ("--set", one)]
    found = run("gate", gated[0], "--candidate", f"gated@{gated[2]}", "--json", *overrides)
    rules = {rule["name"]: rule["decision"] for rule in last_json(found)["rules"]}

    assert rules["better-than-words"] == "refuse"
    assert {"better-than-commonest", "calibration", "slice: label bad", "slice: short texts"} <= set(rules)


def test_each_verdict_on_the_same_rows_is_counted(gated):
    def number() -> int:
        found = run("gate", gated[0], "--candidate", f"gated@{gated[2]}", "--set", f"gate.seed={next(seeds)}")
        return int(found.stdout.split("verdicts on these test rows so far: ")[1].split()[0])

    seeds = iter((11, 12, 12))
    first, second, third = number(), number(), number()

    assert (second, third) == (first + 1, first + 1)


@pytest.mark.slow
def test_champion_that_cannot_be_read_is_exit_5_and_never_a_bootstrap(make_recipe):
    recipe = make_recipe("unreadable", rows_seed=95)
    version = last_json(run("run", recipe, "--json"))["model"]["version"]
    store = open_store(Settings())
    weights = read_manifest(store, "unreadable", version).files["model.safetensors"]
    key, copy = blob_key(weights.digest), store.fetch(weights)
    content = copy.read_bytes()
    store.replace(key, content[:-1] + bytes([content[-1] ^ 1]))
    copy.unlink()
    changed = ("--set", "training.epochs=7", "--set", "evaluation.metrics=[macro_f1]")
    found = run("run", recipe, "--json", *changed)
    log = read_log(store, "unreadable")
    store.replace(key, content)

    assert found.exit_code == 5, found.stderr
    assert f"{key}: the stored bytes hash to" in found.stderr
    assert "Traceback" not in found.stderr
    assert [event.to_version for event in log.events] == [version]
