"""What is kept of a tuned model, and that it answers the same when it is loaded again.

Alone: pytest tests/tasks/methods/models/test_artifact.py.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from schemas.errors import RecipeError, TrainingError
from schemas.recipe.problem import TextClassification
from schemas.recipe.training import EarlyStopping, Training
from schemas.recipe.tuning import BottleneckAdapters, FullTuning, LoRA, PrefixTuning, PromptTuning, TopLayers, Tuning
from schemas.records.references import CurvePoint
from tasks.evaluation import answer
from tasks.methods.models.artifact import load_model, save_model, trained_weights
from tasks.methods.problems.table import PROBLEMS
from tasks.methods.tuners.table import TUNERS
from tasks.training import train
from tests.conftest import LABELS
from tests.tasks.test_training import encode, loss_of, make_table

PROBLEM = TextClassification(labels=LABELS, max_tokens=16)
METHODS = PROBLEMS[PROBLEM.kind]
QUICK = Training(epochs=8, batch_size=16, learning_rate=0.01, evaluations_per_epoch=1)
PATIENT = QUICK.model_copy(update={"epochs": 5, "early_stopping": EarlyStopping(patience=9)})
PARTIAL = {
    "lora": LoRA(),
    "adapter": BottleneckAdapters(layout="houlsby", reduction=4),
    "prefix": PrefixTuning(num_tokens=4),
    "prompt": PromptTuning(num_tokens=4),
    "top": TopLayers(num_layers=1),
}
PLAIN_FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def tokens(tiny_model: Path):
    return encode(tiny_model, make_table(240, 1)), encode(tiny_model, make_table(60, 9))


def tuned(folder: Path, tuning: Tuning, problem: TextClassification = PROBLEM):
    """A model whose trained weights are noise, as no loading would make them."""
    model = TUNERS[tuning.kind].mark(tuning, METHODS.load(folder, problem, True))
    for weight in trained_weights(model).values():
        weight.normal_(std=0.3)
    return model.eval()


def logits_of(model) -> torch.Tensor:
    ids = torch.arange(2, 12)[None]
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


@pytest.mark.parametrize("kind", PARTIAL)
def test_small_artefact_holds_the_base_byte_for_byte_and_answers_as_it_was_saved(tiny_model, tmp_path, kind: str):
    model = tuned(tiny_model, PARTIAL[kind])
    save_model(model, tiny_model, PARTIAL[kind], tmp_path)
    found = load_model(tmp_path, PROBLEM, METHODS).eval()

    assert torch.equal(logits_of(found), logits_of(model))
    assert (tmp_path / "model.safetensors").read_bytes() == (tiny_model / "model.safetensors").read_bytes()
    assert set(load_file(tmp_path / "trained.safetensors")) == set(trained_weights(model))
    assert json.loads((tmp_path / "tuning.json").read_text())["kind"] == kind


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["lora", "adapter", "prefix", "prompt"])
def test_small_artefact_answers_in_evaluation_as_it_did_in_training(tiny_model, tokens, tmp_path, kind: str):
    short = QUICK.model_copy(update={"epochs": 2})
    losses = losses_of(train(tiny_model, tokens, PROBLEM, PARTIAL[kind], short, tmp_path))
    answers = answer(tmp_path / "model", make_table(60, 9), PROBLEM)

    assert {path.name for path in (tmp_path / "model").iterdir()} == PLAIN_FILES | {
        "trained.safetensors",
        "tuning.json",
    }
    assert loss_of(answers, answers["truth"]) == pytest.approx(min(losses), abs=1e-3)


@pytest.mark.heavy
def test_products_learn_and_the_best_of_them_are_kept_and_not_the_last(tiny_model, tokens, tmp_path):
    """Validation labels that contradict the training labels: the longer it learns, the worse it gets."""
    contrary = tokens[1].assign(labels=(tokens[1]["labels"] + 1) % 3)
    losses = losses_of(train(tiny_model, (tokens[0], contrary), PROBLEM, LoRA(), PATIENT, tmp_path))
    answers = answer(tmp_path / "model", make_table(60, 9), PROBLEM)

    assert losses[-1] > min(losses) + 0.5
    assert loss_of(answers, contrary["labels"]) == pytest.approx(min(losses), abs=1e-3)


def losses_of(curve: tuple[CurvePoint, ...]) -> list[float]:
    return [point.validation_loss for point in curve if point.validation_loss is not None]


def test_merged_products_are_kept_as_a_whole_model(tiny_model, tmp_path):
    tuning = LoRA(merge=True)
    model = tuned(tiny_model, tuning)
    before = logits_of(model)
    save_model(model, tiny_model, tuning, tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    assert torch.allclose(logits_of(load_model(tmp_path, PROBLEM, METHODS).eval()), before, atol=1e-4)


def test_base_with_a_head_for_other_labels_gets_a_new_one(tiny_model, tmp_path):
    """The base's weights are kept with their own head, which the trained one replaces."""
    other = TextClassification(labels=("no", "yes"), max_tokens=16)
    save_model(tuned(tiny_model, FullTuning(), other), tiny_model, FullTuning(), tmp_path / "base")
    model = tuned(tmp_path / "base", LoRA())
    save_model(model, tmp_path / "base", LoRA(), tmp_path / "model")

    assert torch.equal(logits_of(load_model(tmp_path / "model", PROBLEM, METHODS).eval()), logits_of(model))


def test_small_artefact_is_not_judged_on_labels_it_does_not_have(tiny_model, tmp_path):
    save_model(tuned(tiny_model, LoRA()), tiny_model, LoRA(), tmp_path)

    with pytest.raises(RecipeError, match="predicts the labels bad, fine, great"):
        load_model(tmp_path, TextClassification(labels=("a", "b", "c")), METHODS)


@pytest.mark.parametrize("change", ["missing", "more", "shape"])
def test_trained_weights_that_are_not_those_of_the_method_are_refused(tiny_model, tmp_path, change: str):
    save_model(tuned(tiny_model, LoRA()), tiny_model, LoRA(), tmp_path)
    weights = load_file(tmp_path / "trained.safetensors")
    last = weights.pop("classifier.bias")
    weights |= {
        "missing": {},
        "more": {"classifier.bias": last, "x": last.clone()},
        "shape": {"classifier.bias": last[:2]},
    }[change]
    save_file(weights, tmp_path / "trained.safetensors")

    with pytest.raises(TrainingError, match=r"1 weights do not match .* (x|classifier.bias)\. The files do not"):
        load_model(tmp_path, PROBLEM, METHODS)


def test_damaged_trained_weights_are_said_to_be_so(tiny_model, tmp_path):
    save_model(tuned(tiny_model, LoRA()), tiny_model, LoRA(), tmp_path)
    (tmp_path / "trained.safetensors").write_bytes(b"damaged")

    with pytest.raises(TrainingError, match=r"trained.safetensors cannot be read: .* Train the model again"):
        load_model(tmp_path, PROBLEM, METHODS)
