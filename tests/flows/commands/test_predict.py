"""Predictions of a version, of its pulled folder and of other folders. Alone: pytest tests/flows/commands/test_predict.py."""

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from flows.commands.predict import shorten_to
from schemas.recipe.problem import CausalLM, TextClassification, TokenClassification
from schemas.recipe.tuning import FullTuning
from schemas.records.versions import Base, Manifest
from tasks.services.registry.pull import pull_version
from tasks.services.registry.versions import add_version
from tests.conftest import LABELS
from tests.flows.command import Result, last_json, run

PROBLEM = TextClassification(labels=tuple(LABELS), max_tokens=6)
LONG = "lovely fresh kind rude stale cold awful slow broken " * 9


@pytest.fixture(scope="module")
def classifier(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a model that nothing has trained, with a head of three labels."""
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier")
    shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
    numbered = dict(enumerate(LABELS))
    names = {"id2label": numbered, "label2id": {label: number for number, label in numbered.items()}}
    AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=3, **names).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def version(classifier: Path, store) -> tuple[str, str]:
    """Name and version of that model, for texts of six tokens."""
    files = {path.name: store.put_file(path) for path in sorted(classifier.iterdir()) if path.name != "README.md"}
    digest = "0" * 64
    recipe = {"problem": PROBLEM.model_dump(mode="json"), "tuning": FullTuning().model_dump(mode="json")}
    base = Base(source="./base", digest=digest, licence="mit")
    manifest = Manifest(
        model=f"tides-{secrets.token_hex(4)}",
        files=files,
        base=base,
        recipe=recipe,
        data={},
        code=digest,
        environment={},
    )
    return manifest.model, add_version(store, manifest)


@pytest.fixture
def pulled(store, version: tuple[str, str], tmp_path: Path) -> Path:
    pull_version(store, *version, tmp_path / "served")
    return tmp_path / "served"


@pytest.fixture
def folder(classifier: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(classifier, tmp_path / "copy"))


def predictions(*arguments: str | Path) -> Any:
    found = run("predict", *arguments, "--json")
    assert found.exit_code == 0, found.stderr
    return last_json(found)["predictions"]


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(found: Result, exit_code: int, message: str) -> None:
    assert found.exit_code == exit_code, found.stderr
    assert message in found.stderr
    assert "Traceback" not in found.stderr


def test_pulled_folder_predicts_what_its_version_does(version: tuple[str, str], pulled: Path):
    """The version takes six tokens, the configuration in the folder would allow 64."""
    expected = predictions("@".join(version), LONG, "a warm room")

    assert predictions(pulled, LONG, "a warm room") == expected
    assert predictions(pulled.resolve(), LONG, "a warm room") == expected


def test_files_beside_those_of_the_version_change_nothing(pulled: Path):
    expected = predictions(pulled, LONG)
    (pulled / "tuning.json").write_text('{"kind": "lora"}')
    (pulled / "trained.safetensors").write_bytes(b"")
    (pulled / "added_tokens.json").write_text('{"lovely": 3}')

    assert predictions(pulled, LONG) == expected


@pytest.mark.parametrize("how", ["changed", "cut", "missing"])
def test_pulled_folder_with_other_files_is_refused(pulled: Path, how: str):
    path = pulled / "tokenizer.json"
    content = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(content.replace(b"lovely", b"lovelx") if how == "changed" else content[:-9])

    refused(run("predict", pulled, "x"), 5, "tokenizer.json of tides-")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"name": "a web app"}', b"\xff"])
def test_manifest_that_cannot_be_read_is_refused(folder: Path, content: bytes):
    (folder / "manifest.json").write_bytes(content)

    refused(run("predict", folder, "x"), 5, "manifest.json: it is not a manifest")


def test_folder_without_a_manifest_takes_no_more_tokens_than_it_has_positions(folder: Path):
    assert len(predictions(folder, LONG, "a warm room")) == 2


@pytest.mark.parametrize(
    ("values", "exit_code", "message"),
    [
        ({"id2label": {"low": "ebb", "high": "flood"}}, 2, "id2label is"),
        ({"id2label": ["ebb", "flood"]}, 2, "id2label is"),
        ({"id2label": {"0": 4, "1": 5}}, 2, "id2label is"),
        ({"id2label": None}, 2, "id2label is null; expected the labels' names by number"),
        ({"id2label": {"0": "ebb", "1": "flood"}}, 5, "this model cannot be used"),
        ({"model_type": "tidal"}, 5, "this model cannot be used"),
        ({"hidden_size": "wide"}, 5, "this model cannot be used"),
        ({"max_position_embeddings": "many"}, 5, "this model cannot be used"),
    ],
)
def test_folder_that_cannot_be_used_is_refused_with_the_reason(
    folder: Path, values: dict[str, object], exit_code: int, message: str
):
    change(folder / "config.json", **values)

    refused(run("predict", folder, "x"), exit_code, message)


def test_folder_without_a_vocabulary_is_refused(folder: Path):
    """Without one, transformers would make up its own, in which all texts are alike."""
    for path in folder.glob("tokenizer*.json"):
        path.unlink()

    refused(run("predict", folder, "x"), 5, "this model cannot be used: it has no tokenizer files")


def test_folder_whose_weights_lie_elsewhere_is_refused(folder: Path):
    weights = Path(shutil.move(folder / "model.safetensors", folder.parent / "weights.safetensors"))
    places = dict.fromkeys(load_file(weights), "../weights.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))

    refused(run("predict", folder, "x"), 5, "cannot be used: model.safetensors.index.json names '../weights")


@pytest.mark.parametrize(("files", "exit_code"), [(["trained.safetensors"], 6), ([], 5)])
def test_head_without_weights_does_not_predict(folder: Path, files: list[str], exit_code: int):
    kept = {name: weight for name, weight in load_file(folder / "model.safetensors").items() if "bert." in name}
    for name in ["model.safetensors", *files]:
        save_file(kept, folder / name)

    refused(run("predict", folder, "x"), exit_code, "without tuning.json" if files else "weights, such as classifier")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbflovely meal\n", ["lovely meal"]),
        (b"lovely meal", ["lovely meal"]),
        (b"lovely\rmeal\nbread\n", ["lovely\rmeal", "bread"]),
        (b"lovely meal\r\nbread\r\n", ["lovely meal", "bread"]),
        (b"lovely\x0b\x0c\xe2\x80\xa8meal\n\nbread", ["lovely\x0b\x0c\u2028meal", "", "bread"]),
        (b"\n", [""]),
    ],
)
def test_each_line_of_a_file_gets_one_prediction(pulled: Path, tmp_path: Path, content: bytes, expected: list[str]):
    (tmp_path / "in.txt").write_bytes(content)
    found = run("predict", pulled, "--file", tmp_path / "in.txt", "--out", tmp_path / "out.jsonl")

    assert found.exit_code == 0, found.stderr
    lines = (tmp_path / "out.jsonl").read_text().removesuffix("\n").split("\n")
    assert [json.loads(line)["text"] for line in lines] == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty, so there is nothing to label"),
        (b"\xef\xbb\xbf", "it is empty, so there is nothing to label"),
        (b"\xff\xfeh\x00", "cannot be read as UTF-8 text"),
    ],
)
def test_file_without_texts_is_refused(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "in.txt").write_bytes(content)

    refused(run("predict", "any@champion", "--file", tmp_path / "in.txt"), 2, message)


@pytest.mark.parametrize("arguments", [["predict", "any@champion", "\udcff"], ["plan", "\udce9.yaml"], ["\udc80"]])
def test_argument_that_is_not_utf_8_is_refused(arguments: list[str]):
    refused(run(*arguments), 2, "is not UTF-8")


@pytest.mark.parametrize("problem", [PROBLEM, TokenClassification(labels=("a",)), CausalLM()])
@pytest.mark.parametrize("positions", [5, 40, 10_000, None])
def test_problem_is_shortened_to_the_positions_of_a_model(problem: Any, positions: int | None):
    found = shorten_to(problem, positions)

    assert found.max_tokens == min(problem.max_tokens, positions or problem.max_tokens)
    assert positions != 10_000 or found == problem


def test_gate_of_a_pulled_folder_takes_the_problem_of_its_version(pulled: Path, version: tuple[str, str], store):
    from flows.regate import find_candidate

    wider = PROBLEM.model_copy(update={"max_tokens": 60})
    by_version = find_candidate("@".join(version), wider)

    assert find_candidate(str(pulled), wider) == by_version
    assert by_version.problem == PROBLEM
