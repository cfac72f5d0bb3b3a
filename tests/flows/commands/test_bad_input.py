"""What bad input gets, by exit code and message, on the whole command. Alone: pytest tests/flows/commands/test_bad_input.py."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.services.local import object_store
from tasks.services.registry.log import read_log
from tests.conftest import make_rows, write_csv
from tests.flows.command import last_json, run

pytestmark = pytest.mark.usefixtures("prefect_engine")
Change = Callable[[Path], object]


def replace_rows(*extra: dict[str, str], rows: int = 240) -> Change:
    return lambda folder: write_csv(folder / "train.csv", make_rows(rows, seed=1) + list(extra))


def write(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


no_text = write("train.jsonl", b'{"text": "a", "label": "bad"}\n{"text": null, "label": "bad"}\n')
turns_without_text = write("train.jsonl", b'{"text": {"role": "user"}, "label": "bad"}\n')
SAME_TEXT = make_rows(420, seed=2)[240]["text"]


@pytest.mark.parametrize(
    ("exit_code", "change", "overrides", "message"),
    [
        (2, None, ["training.epochz=3"], "training.epochz is not a field"),
        (2, None, ["training.epochs=-1"], "greater than or equal to 1"),
        (2, None, ["promotion.model=../x"], "promotion.model is '../x'"),
        (2, None, ["data.train.path=none.csv"], "there is no file"),
        (2, None, ["data.train.text=body"], "no column 'body'; its columns are 'text', 'label'"),
        (2, None, ["model.base=./nowhere"], "there is no folder"),
        (2, None, [f"model.sha256={'a' * 64}"], "hashes to"),
        (2, None, ["model.licences=[apache-2.0]"], "has the licence 'mit'"),
        (2, None, ["data.licences=[mit]"], "data.licences allows mit, but data.train.licence is 'unknown'"),
        (2, None, ["gate.against=0123456789abcdef"], "is promoted over the model it was compared with"),
        (2, None, ["training.epochs=true"], "expected a number, not a switch"),
        (2, None, ["contract.text_length.min=50", "contract.text_length.max=10"], "min 50 is above max 10"),
        (2, None, ["problem.max_tokens=65"], "takes 64 at most"),
        (2, None, ["problem.max_tokens=50", "tuning={kind: prompt, num_tokens: 15}"], "are 65 tokens"),
        (
            2,
            None,
            ["evaluation.metrics=[accuracy]"],
            "gate.metric is macro_f1, which evaluation.metrics (accuracy) does",
        ),
        (4, no_text, ["data.train.path=train.jsonl"], "1 of 2 rows have no text (row 2)"),
        (4, turns_without_text, ["data.train.path=train.jsonl"], "row 1: the object {'role': 'user'}"),
        (4, write("train.csv", b""), [], "train.csv: no rows; expected rows with the columns text, label"),
        (4, write("train.csv", b"text,label\nx,\xff\n"), [], "is not UTF-8"),
        (
            4,
            replace_rows({"text": "new", "label": "gret"}),
            [],
            "label that is not one of bad, fine, great (row 241: 'gret')",
        ),
        (4, replace_rows({"text": " ", "label": "bad"}), [], "1 of 241 rows have no text (row 241)"),
        (4, replace_rows(rows=3), [], "too few rows"),
        (4, replace_rows({"text": SAME_TEXT, "label": "bad"}), [], "the test rows have too"),
        (4, None, ["problem.labels=[bad, fine, great, superb]"], "not every label occurs"),
        (6, None, ["training.learning_rate=1.0", "training.warmup_fraction=0"], "Training diverged at step"),
    ],
)
def test_bad_input_gets_its_exit_code_and_a_message(make_recipe, store, exit_code, change, overrides, message):
    recipe = make_recipe("bad-input")
    if change is not None:
        change(recipe.parent)

    result = run("run", recipe, *(part for override in overrides for part in ("--set", override)))

    assert result.exit_code == exit_code, result.stderr
    assert message in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert read_log(store, "bad-input").events == ()


@pytest.mark.parametrize("command", [("run",), ("gate", "--candidate", "a@b")])
def test_out_that_is_no_folder_is_told_before_anything_runs(make_recipe, monkeypatch, command):
    monkeypatch.setattr("flows.commands.run.flow_runtime", lambda: pytest.fail("it was begun"))
    recipe = make_recipe("no-out")
    result = run(command[0], recipe, *command[1:], "--out", recipe)

    assert result.exit_code == 2
    assert f"--out {recipe}: expected a folder to write into: File exists" in result.stderr


def test_outcome_is_told_where_its_files_could_not_be_written(make_recipe, settings, monkeypatch, tmp_path):
    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("flows.chain.publish.write_files", fail)
    result = run("run", make_recipe("no-files"), "--out", tmp_path / "out", "--json")

    assert (result.exit_code, last_json(result)["outcome"]) == (0, "promoted")
    assert f"--out {tmp_path}/out: files of this run are missing" in result.stderr


def test_data_that_break_the_contract_are_a_result_with_reasons(make_recipe):
    recipe = make_recipe("refused-data")
    replace_rows({"text": "new", "label": "gret"})(recipe.parent)

    result = run("run", recipe, "--json")

    outcome = last_json(result)
    assert (result.exit_code, outcome["outcome"]) == (4, "data-refused")
    assert [finding["num_broken"] for finding in outcome["findings"]] == [1]
    assert {step["name"]: step["state"] for step in outcome["steps"]}["train"] == "skipped"
    assert "Data refused" in Path(outcome["report"]).read_text()


def test_dropped_rows_are_counted_and_the_run_goes_on(make_recipe):
    recipe = make_recipe("dropped")
    replace_rows({"text": SAME_TEXT, "label": "bad"})(recipe.parent)

    result = run("run", recipe, "--set", "contract.leakage=drop")

    assert result.exit_code == 0, result.stderr
    assert "1 of 241 rows have a text that the test rows have too" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nothing@champion", "x"], "There is no model 'nothing'"),
        (["predict", "../x@champion", "x"], "is not a model's name"),
        (["predict", "no-such-folder", "x"], "expected NAME@ALIAS"),
        (["predict", "a@b"], "There is nothing to label"),
        (["predict", "a@b", "--file", "none.txt"], "cannot be read as UTF-8 text"),
        (["predict", "a@b", "x", "--out", "nowhere/out.jsonl"], "there is no folder nowhere"),
        (["predict", "a@b", "x", "--out", "/"], "--out /: it is a folder"),
        (["models", "nope"], "There is no model 'nope'"),
        (["history", "nope"], "There is no model 'nope'"),
        (["models", "a b"], "is not a model's name"),
        (["history", ""], "is not a model's name"),
        (["run", "none.yaml"], "there is no such recipe"),
        (["run", "none.yaml", "--set", "gate.at_least=1", "--set", "gate.at_least=0"], "is there 2 times"),
        (["run"], "Missing argument"),
    ],
)
def test_wrong_usage_exits_with_2_and_a_message(arguments: list[str], message: str):
    result = run(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://user:hidden@127.0.0.1:9",
        "user:hidden@127.0.0.1:9",
        "http://user:hid/hidden@127.0.0.1:9",
        "http://user:hidden@1@127.0.0.1:9",
        "http:/user:hidden @127.0.0.1:9",
    ],
)
def test_password_in_the_address_of_the_store_is_refused_and_not_repeated(monkeypatch, endpoint: str):
    monkeypatch.setenv("TUNEGATE_S3_ENDPOINT", endpoint)
    result = run("models")

    assert result.exit_code == 2
    assert "TUNEGATE_S3_ENDPOINT is not shown, for its @; " in result.stderr
    assert "hidden" not in result.stderr
    assert "hid/" not in result.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TUNEGATE_S3_ENDPOINT": "http://127.0.0.1:9"}, "did not answer"),
        ({"TUNEGATE_BUCKET": "no-such-bucket"}, "there is no bucket 'no-such-bucket'"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "access was refused"),
    ],
)
def test_store_that_fails_is_exit_5_with_what_to_check(make_recipe, store, monkeypatch, variables, message):
    external = {
        "TUNEGATE_S3_ENDPOINT": store.address.endpoint,
        "AWS_ACCESS_KEY_ID": store.address.access_key,
        "AWS_SECRET_ACCESS_KEY": store.address.secret_key,
    }
    for name, value in (external | variables).items():
        monkeypatch.setenv(name, value)

    result = run("run", make_recipe("no-store"))

    assert result.exit_code == 5
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    object_store.open_store.cache_clear()


def test_trained_model_is_kept_when_the_store_fails_and_the_next_run_goes_on(make_recipe, store, monkeypatch):
    from schemas.errors import StoreError
    from tasks.services.storage.store import Store

    recipe = make_recipe(
        "kept", training={"epochs": 8, "batch_size": 16, "learning_rate": 0.004, "early_stopping": None}
    )
    put_file = Store.put_file

    def fail(self, path):
        raise StoreError("the store went away")

    monkeypatch.setattr(Store, "put_file", fail)
    failed = run("run", recipe)
    monkeypatch.setattr(Store, "put_file", put_file)
    monkeypatch.setattr("tasks.training.train", lambda *_: pytest.fail("it was trained again"))
    resumed = run("run", recipe, "--json")

    assert failed.exit_code == 5
    assert "the store went away" in failed.stderr
    assert resumed.exit_code == 0, resumed.stderr
    assert last_json(resumed)["outcome"] == "promoted"


def test_prefect_server_that_does_not_answer_is_exit_5(make_recipe):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        result = run("run", make_recipe("no-prefect"))

    assert result.exit_code == 5
    assert "Check PREFECT_API_URL" in result.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("TUNEGATE_S3_ENDPOINT", "localhost:8333"), ("TUNEGATE_BUCKET", "My_Bucket")]
)
def test_setting_that_cannot_be_meant_is_exit_2(make_recipe, monkeypatch, name: str, value: str):
    monkeypatch.setenv(name, value)

    result = run("models")

    assert result.exit_code == 2
    assert f"{name} is '{value}'" in result.stderr


def test_own_fault_is_not_taken_for_a_refusal(monkeypatch):
    monkeypatch.setattr("flows.commands.run.load_recipe", lambda *_: 1 / 0)

    result = run("run", "x.yaml")

    assert result.exit_code == 70
    assert "ZeroDivisionError" in result.stderr


def test_failed_run_ends_its_output_with_an_object_too(make_recipe):
    recipe = make_recipe("failed-json", rows_seed=41)
    write("train.csv", b"text,label\nx,\xff\n")(recipe.parent)

    failed = last_json(run("run", recipe, "--json"))

    assert failed["outcome"] == "failed"
    assert "is not UTF-8" in failed["error"]
    assert [(step["name"], step["state"]) for step in failed["steps"]] == [("ingest", "failed")]


def test_labels_that_are_not_the_champions_are_refused_before_training(make_recipe):
    recipe = make_recipe("labels")
    run("run", recipe)

    result = run("run", recipe, "--set", "problem.labels=[great, fine, bad]", "--json")

    assert result.exit_code == 2
    assert "they cannot be compared" in result.stderr
    assert last_json(result)["steps"] == []


def test_opponent_that_is_not_there_is_refused_before_training(make_recipe):
    result = run("run", make_recipe("opponent"), "--no-promote", "--set", "gate.against=0123456789abcdef")

    assert result.exit_code == 2
    assert "neither an alias" in result.stderr


def test_interrupted_run_exits_with_130_and_says_how_to_go_on(make_recipe, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.commands.run.flow_runtime", interrupt)
    result = run("run", make_recipe("interrupted"))

    assert result.exit_code == 130
    assert "Run the same command again" in result.stderr


def test_schema_describes_the_recipe():
    schema = json.loads(run("schema").stdout)

    assert set(schema["required"]) == {"name", "problem", "data", "model", "gate", "promotion"}
