"""Early stopping is on, or says why not. Alone: pytest tests/tasks/methods/training/test_early_stopping.py."""

import logging
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from schemas.recipe.loading import load_recipe
from schemas.recipe.problem import TextClassification
from schemas.recipe.training import EarlyStopping, Training
from schemas.recipe.tuning import FullTuning
from tasks.methods.training.callbacks import Patience
from tasks.training import train
from tests.conftest import LABELS
from tests.tasks.test_training import encode, make_table

pytestmark = pytest.mark.heavy

PROBLEM = TextClassification(labels=LABELS, max_tokens=16)
# 4 steps an epoch of 60 rows, an evaluation every 2: 8 evaluations.
TRAINING = Training(epochs=4, batch_size=16, learning_rate=0.005, evaluations_per_epoch=2)


def make_arguments(folder: Path, **more: Any) -> TrainingArguments:
    return TrainingArguments(str(folder), eval_strategy="steps", metric_for_best_model="loss", report_to="none", **more)


@pytest.mark.parametrize(
    ("patience", "steps", "warning"),
    [
        (2, 16, ""),
        (6, 16, ""),
        (6, 15, ""),
        (7, 16, "has no effect: 8 evaluations, patience 7"),
        (50, 16, "has no effect: 8 evaluations, patience 50"),
        (7, 15, "has no effect: 8 evaluations, patience 7"),
    ],
)
def test_patience_that_cannot_run_out_is_said(tmp_path, caplog, patience: int, steps: int, warning: str):
    arguments = make_arguments(tmp_path, eval_steps=2, load_best_model_at_end=True, save_steps=2)
    with caplog.at_level(logging.WARNING):
        Patience(patience).on_train_begin(arguments, TrainerState(max_steps=steps), TrainerControl())

    assert [record.getMessage() for record in caplog.records] == (
        [f"training.early_stopping {warning}"] if warning else []
    )


def test_training_says_that_it_cannot_stop_early(tiny_model: Path, tmp_path: Path, caplog):
    rows = encode(tiny_model, make_table(60, 1)), encode(tiny_model, make_table(30, 9))
    patient = TRAINING.model_copy(update={"early_stopping": EarlyStopping(patience=8)})
    with caplog.at_level(logging.WARNING):
        train(tiny_model, rows, PROBLEM, FullTuning(), patient, tmp_path)

    assert "training.early_stopping has no effect: 8 evaluations, patience 8" in caplog.text


@pytest.mark.parametrize(("early_stopping", "ends_early"), [(EarlyStopping(patience=1), True), (None, False)])
def test_null_means_none(tiny_model: Path, tmp_path: Path, early_stopping: EarlyStopping | None, ends_early: bool):
    """Validation labels that contradict the training labels: the longer it learns, the worse it gets."""
    rows = encode(tiny_model, make_table(60, 1))
    contrary = rows.assign(labels=(rows["labels"] + 1) % 3)
    training = TRAINING.model_copy(update={"early_stopping": early_stopping})
    curve = train(tiny_model, (rows, contrary), PROBLEM, FullTuning(), training, tmp_path)

    assert (curve[-1].step < 16) == ends_early


def test_recipe_says_null_on_purpose(make_recipe):
    assert load_recipe(make_recipe(), ("training.early_stopping=null",)).training.early_stopping is None
