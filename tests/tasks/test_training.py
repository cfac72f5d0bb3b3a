"""Training on a tiny model: what is learned, kept and refused. Alone: pytest tests/tasks/test_training.py."""

import logging
import math
import shutil
from pathlib import Path
from uuid import uuid4

import httpx
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from schemas.errors import Diverged, RecipeError
from schemas.recipe.problem import TextClassification
from schemas.recipe.training import Training
from schemas.recipe.tuning import FullTuning
from tasks import training
from tasks.evaluation import answer, count_confusion
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems.text_classification import encode_rows, load_model
from tasks.methods.rows import content_id
from tasks.methods.training.callbacks import Hooks, Watch
from tasks.methods.training.trainer import make_arguments
from tasks.methods.tuners.table import TUNERS
from tasks.training import LiveProgress, read_curve, train
from tests.conftest import LABELS, make_rows

pytestmark = pytest.mark.heavy

PROBLEM = TextClassification(labels=LABELS, max_tokens=16)
QUICK = Training(epochs=8, batch_size=16, learning_rate=0.005, evaluations_per_epoch=1)


def make_table(count: int, seed: int) -> pd.DataFrame:
    rows = pd.DataFrame(make_rows(count, seed))
    return rows.assign(id=[content_id(text) for text in rows["text"]])


def encode(folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
    return encode_rows(load_tokenizer(folder), rows, PROBLEM)[["input_ids", "labels"]]


@pytest.fixture(scope="module")
def tokens(tiny_model: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return encode(tiny_model, make_table(240, 1)), encode(tiny_model, make_table(60, 9))


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tokens, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    return work, train(tiny_model, tokens, PROBLEM, FullTuning(), QUICK, work)


def test_model_learns_and_its_best_checkpoint_is_kept(trained):
    work, curve = trained
    validation = [point.validation_loss for point in curve if point.validation_loss is not None]
    answers = answer(work / "model", make_table(60, 9), PROBLEM)

    assert (answers["answer"] == answers["truth"]).mean() > 0.9
    assert loss_of(answers, answers["truth"]) == pytest.approx(min(validation), abs=0.01)


def loss_of(answers: pd.DataFrame, truth: pd.Series) -> float:
    """Cross-entropy of answers for other class numbers."""
    return -sum(math.log(answers[f"p{number}"].iloc[row]) for row, number in enumerate(truth)) / len(answers)


def test_checkpoint_that_is_kept_is_the_best_and_not_the_last(tiny_model: Path, tokens, tmp_path: Path):
    """Validation labels that contradict the training labels: the longer it learns, the worse it gets."""
    training, validation = tokens
    contrary = validation.assign(labels=(validation["labels"] + 1) % 3)
    curve = train(tiny_model, (training, contrary), PROBLEM, FullTuning(), QUICK, tmp_path)
    losses = [point.validation_loss for point in curve if point.validation_loss is not None]
    answers = answer(tmp_path / "model", make_table(60, 9), PROBLEM)

    assert losses[-1] > min(losses) + 0.1
    assert loss_of(answers, contrary["labels"]) == pytest.approx(min(losses), abs=0.01)


def test_weight_of_a_base_that_is_not_finite_is_named(tiny_model: Path, tokens, tmp_path: Path):
    base = shutil.copytree(tiny_model, tmp_path / "base")
    weights = load_file(base / "model.safetensors")
    weights["encoder.layer.1.output.dense.bias"][0] = float("nan")
    save_file(weights, base / "model.safetensors", {"format": "pt"})

    with pytest.raises(RecipeError, match="1 of its weights are not finite, such as .*layer.1.output.dense.bias"):
        train(base, tokens, PROBLEM, FullTuning(), QUICK, tmp_path / "work")


def test_only_what_is_needed_to_load_is_kept(trained, tiny_model: Path):
    work, _ = trained

    assert {path.name for path in (work / "model").iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert str(tiny_model) not in (work / "model" / "config.json").read_text()


def test_same_seed_gives_the_same_weights_and_another_seed_others(trained, tiny_model: Path, tokens, tmp_path: Path):
    train(tiny_model, tokens, PROBLEM, FullTuning(), QUICK, tmp_path / "same")
    other = QUICK.model_copy(update={"seeds": (1,)})
    train(tiny_model, tokens, PROBLEM, FullTuning(), other, tmp_path / "other")
    weights = [
        load_file(work / "model" / "model.safetensors") for work in (trained[0], tmp_path / "same", tmp_path / "other")
    ]

    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["classifier.weight"], weights[2]["classifier.weight"])


def test_full_tuning_moves_every_weight_that_a_text_reaches(trained, tiny_model: Path):
    before, after = load_model(tiny_model, PROBLEM, True), load_model(trained[0] / "model", PROBLEM, False)
    moved = {
        name
        for (name, one), (_, two) in zip(before.named_parameters(), after.named_parameters(), strict=True)
        if not torch.equal(one, two)
    }

    assert moved == {name for name, _ in before.named_parameters()}


def test_full_tuning_asks_gradients_of_frozen_weights_too(tiny_model: Path):
    model = load_model(tiny_model, PROBLEM, True).requires_grad_(False)

    assert all(weight.requires_grad for weight in TUNERS["full"].mark(FullTuning(), model).parameters())


def test_loss_that_is_not_finite_stops_training_with_step_and_checkpoint(tiny_model: Path, tokens, tmp_path: Path):
    work = tmp_path / "work"
    (work / "checkpoints" / "checkpoint-7").mkdir(parents=True)
    watch = Watch(Hooks(), work / "checkpoints")

    class State:
        global_step = 9
        log_history = ({"loss": 1.1},)

    watch.on_log(None, State(), None, logs={"loss": 1.1})
    with pytest.raises(
        Diverged, match=r"diverged at step 9: the loss is nan, the first one was 1.1.*checkpoint-7.*rate"
    ):
        watch.on_log(None, State(), None, logs={"loss": math.nan})
    with pytest.raises(Diverged, match="the loss is 50"):
        watch.on_log(None, State(), None, logs={"loss": 50.0})


def test_rate_far_too_high_diverges(tiny_model: Path, tokens, tmp_path: Path):
    wild = QUICK.model_copy(update={"learning_rate": 1.0, "warmup_fraction": 0.0})

    with pytest.raises(Diverged, match="Training diverged at step"):
        train(tiny_model, tokens, PROBLEM, FullTuning(), wild, tmp_path)


def test_batches_are_never_padded_to_a_fixed_length(tiny_model: Path):
    from tasks.methods.problems.table import PROBLEMS

    collate = PROBLEMS["text-classification"].collate(load_tokenizer(tiny_model), None)
    batch = collate([{"input_ids": [2, 5, 3]}, {"input_ids": [2, 5, 6, 7, 3]}])

    assert batch["input_ids"].shape == (2, 5)


def test_long_texts_are_cut_and_counted(tiny_model: Path):
    rows = pd.DataFrame({"text": ["the " * 30, "the shop"], "label": ["bad", "fine"]})
    encoded = encode_rows(load_tokenizer(tiny_model), rows, PROBLEM)

    assert list(encoded["is_cut"]) == [True, False]
    assert [len(ids) for ids in encoded["input_ids"]] == [16, 4]
    assert list(encoded["labels"]) == [0, 1]


def test_answer_of_a_text_does_not_depend_on_its_batch(trained):
    rows = make_table(70, 4)
    together = answer(trained[0] / "model", rows, PROBLEM)
    alone = answer(trained[0] / "model", rows.tail(1), PROBLEM)

    assert alone["p0"].iloc[0] == pytest.approx(together["p0"].iloc[-1], abs=1e-5)
    assert list(together["id"]) == list(rows["id"])


def test_model_is_not_judged_on_labels_it_does_not_have(trained):
    other = TextClassification(labels=("bad", "great"))

    with pytest.raises(RecipeError, match="predicts the labels bad, fine, great, but problem.labels is bad, great"):
        answer(trained[0] / "model", make_table(3, 1), other)


def test_confusion_has_truth_down_and_answers_across():
    answers = pd.DataFrame({"truth": [0, 0, 1, 2], "answer": [0, 1, 1, 0]})

    assert count_confusion(answers, 3) == ((1, 1, 0), (0, 1, 0), (1, 0, 0))


def test_warm_up_and_evaluations_are_said_in_the_trainers_words(tmp_path: Path):
    arguments = make_arguments(
        Training(batch_size=10, learning_rate=5e-5, warmup_fraction=0.2, evaluations_per_epoch=2), 95, tmp_path
    )

    assert arguments.get_warmup_steps(100) == 20
    assert arguments.eval_steps == 5


def test_curve_keeps_losses_only():
    history = [
        {"step": 5, "epoch": 0.5, "loss": 1.0, "grad_norm": 2.0},
        {"step": 10, "epoch": 1.0, "eval_loss": 0.7},
        {"step": 10, "epoch": 1.0, "train_runtime": 3.0},
    ]

    assert [(point.step, point.loss, point.validation_loss) for point in read_curve(history)] == [
        (5, 1.0, None),
        (10, None, 0.7),
    ]


def test_prefect_server_that_goes_away_costs_the_bar_and_not_the_training(monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise httpx.ConnectError("http://ops:hidden@host/api refused")

    monkeypatch.setattr(training.TaskRunContext, "get", object)
    monkeypatch.setattr(training, "create_progress_artifact", lambda *_, **__: uuid4())
    monkeypatch.setattr(training, "update_progress_artifact", fail)
    points: list[dict[str, float]] = []
    with caplog.at_level(logging.WARNING):
        progress = LiveProgress(1.0, points.append)
        progress.report({"epoch": 1.0})
        progress.report({"epoch": 1.0})

    assert points == [{"epoch": 1.0}] * 2
    assert [record.message for record in caplog.records] == [
        "Progress of this training is not shown in Prefect: its server failed (http://***@host/api refused)."
    ]
