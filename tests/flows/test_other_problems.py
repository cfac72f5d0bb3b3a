"""Whole runs of problems whose rows hold lists, or whose answers are texts. Alone: pytest tests/flows/test_other_problems.py."""

import json
from pathlib import Path

import pandas as pd
import pytest

from schemas.recipe.problem import CausalLM, SequenceToSequence
from tests.flows.command import last_json, run
from tests.tasks.methods.problems.test_causal_lm import ANSWERS, PROBLEM, build_decoder, make_dialogues
from tests.tasks.methods.problems.test_problems import ENTITIES, SEVERAL, make_several, make_tagged
from tests.tasks.methods.problems.test_sequence_to_sequence import DICTIONARY, build_translator, make_pairs
from tests.tasks.methods.problems.test_sequence_to_sequence import PROBLEM as TRANSLATION

pytestmark = pytest.mark.usefixtures("prefect_engine")


def write_rows(folder: Path, make) -> None:
    for name, count, seed in (("train.jsonl", 240, 1), ("test.jsonl", 120, 2)):
        make(count, seed)[["text", "label"]].to_json(folder / name, orient="records", lines=True)


def parts(problem, at_least: float) -> dict[str, object]:
    source = {"text": "text", "label": "label"}
    return {
        "problem": problem.model_dump(mode="json"),
        "data": {"train": {"path": "train.jsonl"} | source, "test": {"path": "test.jsonl"} | source},
        "contract": {"duplicates": {"max_fraction": 1}},
        "augmentation": [],
        "gate": {"at_least": at_least, "non_inferiority_margin": 0.05},
    }


def test_entities_from_rows_to_predictions(make_recipe, tmp_path: Path):
    write_rows(tmp_path, make_tagged)
    recipe = make_recipe("entities", **parts(ENTITIES, 0.8))
    found = last_json(run("run", recipe, "--json"))

    assert found["outcome"] == "promoted"
    assert set(found["scores"]["candidate"]) >= {"entity_f1", "entity_precision", "entity_recall", "entity_f1_bad"}
    low, high = found["scores"]["candidate_intervals"]["entity_f1"]
    assert low <= found["scores"]["candidate"]["entity_f1"] <= high
    predicted = last_json(run("predict", "entities@champion", "the awful shop", "--json"))
    assert predicted["predictions"] == [{"entities": [{"type": "bad", "text": "awful", "first": 1, "last": 1}]}]
    assert run("predict", "entities@champion", "the awful shop").stdout == "bad: awful  the awful shop\n"


@pytest.mark.slow
def test_several_labels_from_rows_to_predictions(make_recipe, tmp_path: Path):
    write_rows(tmp_path, make_several)
    recipe = make_recipe("several", **parts(SEVERAL, 0.5))
    found = last_json(run("run", recipe, "--json"))

    assert found["outcome"] == "promoted"
    assert set(found["scores"]["candidate"]) >= {"label_micro_f1", "label_macro_f1", "subset_accuracy"}
    predicted = last_json(run("predict", "several@champion", "awful rude the lovely kind", "--json"))
    assert set(predicted["predictions"][0]["probabilities"]) == set(SEVERAL.labels)


@pytest.mark.slow
def test_tag_that_is_no_type_of_the_problem_is_exit_4(make_recipe, tmp_path: Path):
    write_rows(tmp_path, make_tagged)
    rows = pd.read_json(tmp_path / "train.jsonl", lines=True)
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write(json.dumps({"text": ["x"], "label": ["B-thing"]}) + "\n")
    result = run("run", make_recipe("stray", **parts(ENTITIES, 0.8)))

    assert result.exit_code == 4
    assert "rows have tags that are not the expected ones (O, B-bad, I-bad, B-great, I-great)" in result.stdout
    assert f"(row {len(rows) + 1}: 'B-thing')" in result.stdout


def test_dialogue_from_rows_to_predictions(make_recipe, tmp_path: Path):
    build_decoder(tmp_path / "base")
    write_rows(tmp_path, make_dialogues)
    training = {"epochs": 8, "batch_size": 16, "learning_rate": 0.01, "evaluations_per_epoch": 1}
    speech = parts(PROBLEM, -0.2) | {"training": training, "contract": {}}
    found = last_json(run("run", make_recipe("speech", **speech), "--json"))

    assert found["outcome"] == "promoted"
    scores, intervals = found["scores"]["candidate"], found["scores"]["candidate_intervals"]
    assert set(scores) == {*CausalLM.METRICS, "perplexity"}
    assert all(low <= scores[name] <= high for name, (low, high) in intervals.items())
    predicted = last_json(run("predict", "speech@champion", "the staff was rude", "--json"))
    assert predicted["predictions"] == [{"answer": ANSWERS["bad"]}]
    assert run("predict", "speech@champion", "the staff was rude").stdout == f"{ANSWERS['bad']}  the staff was rude\n"


@pytest.mark.slow
def test_translation_from_rows_to_predictions(make_recipe, tmp_path: Path):
    build_translator(tmp_path / "base", "bart")
    write_rows(
        tmp_path, lambda count, seed: make_pairs(240 + count, 7)[:240] if seed == 1 else make_pairs(360, 7)[240:]
    )
    training = {"epochs": 10, "batch_size": 16, "learning_rate": 0.01, "evaluations_per_epoch": 1}
    found = last_json(run("run", make_recipe("words", **parts(TRANSLATION, 0.1) | {"training": training}), "--json"))

    assert found["outcome"] == "promoted"
    scores, intervals = found["scores"]["candidate"], found["scores"]["candidate_intervals"]
    assert set(scores) == set(SequenceToSequence.METRICS)
    assert all(low <= scores[name] <= high for name, (low, high) in intervals.items())
    (predicted,) = last_json(run("predict", "words@champion", "red cat", "--json"))["predictions"]
    assert predicted["answer"].split()[0] in DICTIONARY.values()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"augmentation": [{"kind": "synonyms"}]}, "augmentation is for problems with labels, not for causal-lm"),
        ({"contract": {"class_share": {"min": 0.1}}}, "contract.class_share is for problems with labels"),
        ({"training": {"loss": {"kind": "focal", "class_weights": "balanced"}}}, "training.loss.class_weights is for problems with labels"),
        ({"gate": {"at_least": 0.5, "non_inferiority_margin": 0.1}}, "at_least is 0.5; answer_log_likelihood is 0 or less"),
        ({"gate": {"metric": "rouge_l", "at_least": -1, "non_inferiority_margin": 0.1}}, "at_least is -1.0; rouge_l is 0 or more"),
    ],
)  # fmt: skip
def test_parts_that_do_not_suit_texts_are_exit_2(make_recipe, part: dict[str, object], message: str):
    result = run("run", make_recipe("unsuited", **(parts(PROBLEM, -0.2) | {"contract": {}} | part)))

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("gate", {"metric": "accuracy", "at_least": 0.5, "non_inferiority_margin": 0.1}, "the metric accuracy does not suit token-classification; expected one of entity_f1"),
        ("augmentation", [{"kind": "synonyms"}], "augmentation is for problems whose texts are strings"),
        ("problem", {"kind": "guessing"}, "problem.kind is 'guessing'; expected one of text-classification, multi-label-classification"),
        ("problem", {"kind": "token-classification", "labels": ["a"], "threshold": 1}, "problem.threshold is not a field; the fields there are kind, labels, max_tokens, overlap_tokens"),
    ],
)  # fmt: skip
def test_parts_that_do_not_suit_each_other_are_exit_2(make_recipe, name: str, part: object, message: str):
    result = run("run", make_recipe("unsuited", **(parts(ENTITIES, 0.8) | {name: part})))

    assert result.exit_code == 2
    assert message in result.stderr
