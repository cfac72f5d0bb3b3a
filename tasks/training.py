"""Training: Hugging Face's Trainer over the training tokens; the checkpoint with the best validation loss is kept.

Each attempt has a separate folder under TUNEGATE_HOME/training/<key>; the first successful one is kept
(`services.cache.local_models`), so a model that could not be stored, or is lost from the store, is not trained again.
Checkpoints go to the store under the same key; an attempt resumes from the newest complete one.
"""

import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, cast
from uuid import UUID

import httpx
import pandas as pd
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext
from prefect.exceptions import PrefectException

from schemas.errors import StoreError
from schemas.recipe.problem import Problem
from schemas.recipe.training import Training
from schemas.recipe.tuning import Tuning
from schemas.records.references import CurvePoint, PretrainedRef, TokensPairRef, TrainedRef
from schemas.settings import read_settings, without_password
from tasks.methods.bases.completeness import refuse_infinite
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.training.checkpoint_format import thaw
from tasks.services.cache.checkpoints import fetch_checkpoint, newest_checkpoint, save_checkpoint
from tasks.services.cache.keys import current_key
from tasks.services.cache.local_models import find_model, publish_model, remove_dead_attempts
from tasks.services.cache.records import cached_task
from tasks.services.inputs.pretrained import TOKENIZER_FILES, unchanged_folder
from tasks.services.local.object_store import open_store
from tasks.services.process.meter import Meter
from tasks.services.process.signals import deferred_signals
from tasks.services.registry.sbom import installed_distributions
from tasks.services.storage.store import Store
from tasks.services.storage.tables import read_table
from tasks.services.tracking.wandb_runs import current_tracker

REPORT_SECONDS = 3.0
log = logging.getLogger(__name__)


def train(
    pretrained: Path,
    tokens: tuple[pd.DataFrame, pd.DataFrame],
    problem: Problem,
    tuning: Tuning,
    training: Training,
    work: Path,
    hooks: Any = None,
    checkpoint: Path | None = None,
) -> tuple[CurvePoint, ...]:
    """Train on `tokens` (training, validation), write the model's folder `work/model`, return the learning curve.

    `hooks` is a `tasks.methods.training.callbacks.Hooks`; training resumes from `checkpoint`, a folder below
    `work/checkpoints`.
    Raises Diverged when a loss is not finite or far above the first one.
    """
    from datasets import Dataset
    from transformers import set_seed

    from tasks.methods.losses.loss import collect_labels, count_classes
    from tasks.methods.losses.table import LOSSES
    from tasks.methods.models.artifact import count_parameters, save_model
    from tasks.methods.problems.table import PROBLEMS
    from tasks.methods.training.averaging import best_folders, load_average
    from tasks.methods.training.callbacks import Hooks
    from tasks.methods.training.dropout import set_dropout
    from tasks.methods.training.trainer import make_trainer
    from tasks.methods.tuners.table import TUNERS

    methods, tuner = PROBLEMS[problem.kind], TUNERS[tuning.kind]
    tokenizer = load_tokenizer(pretrained)
    # The seed must be set before the head is made.
    set_seed(training.seeds[0])
    loaded = methods.load(pretrained, problem, True)
    refuse_infinite(loaded)
    if training.dropout is not None:
        set_dropout(loaded, training.dropout)
    model = tuner.mark(tuning, loaded)
    hooks = hooks or Hooks()
    hooks.size(*count_parameters(model))
    model.config.pad_token_id = tokenizer.pad_token_id
    training_rows, validation_rows = (Dataset.from_pandas(table, preserve_index=False) for table in tokens)
    rows, collate = (training_rows, validation_rows), methods.collate(tokenizer, model)
    is_balanced = training.loss.class_weights == "balanced"
    counts_C = count_classes(collect_labels(tokens[0]["labels"]), model.config.num_labels) if is_balanced else None
    loss = LOSSES[training.loss.kind](training.loss, counts_C)
    layer_decay = getattr(tuning, "layer_decay", 1.0)
    trainer = make_trainer(
        model, training, rows, collate, work / "checkpoints", hooks, loss, layer_decay, methods.shorten
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    best = best_folders(trainer.state.log_history, training.average_best, work / "checkpoints")
    if len(best) > 1:
        load_average(trainer, best)
    save_model(trainer.model, pretrained, tuning, work / "model")
    copy_tokenizer(pretrained, work / "model")
    return read_curve(trainer.state.log_history)


def copy_tokenizer(pretrained: Path, folder: Path) -> None:
    for pattern in TOKENIZER_FILES:
        for path in pretrained.glob(pattern):
            shutil.copyfile(path, folder / path.name)


def read_curve(history: list[dict[str, float]]) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(
            step=int(entry["step"]),
            epoch=entry["epoch"],
            loss=entry.get("loss"),
            validation_loss=entry.get("eval_loss"),
        )
        for entry in history
        if "loss" in entry or "eval_loss" in entry
    )


def restore(store: Store, key: str, folder: Path) -> Path | None:
    """Fetch the newest complete checkpoint of a key into `folder`; None if there is none."""
    found = newest_checkpoint(store, key)
    if found is None:
        return None
    fetch_checkpoint(store, key, found, folder)
    checkpoint = folder / f"checkpoint-{found.step}"
    thaw(checkpoint)
    log.info("%-18s goes on from the checkpoint after step %d", "train", found.step)
    current_tracker().summarize({"resumed_from_step": found.step})
    return checkpoint


def keep_checkpoint(store: Store, key: str, step: int, folder: Path, files: list[Path]) -> None:
    """Store a checkpoint; a failure of the store does not stop the training."""
    try:
        save_checkpoint(store, key, step, folder, files)
    except StoreError as error:
        log.warning("The checkpoint after step %d was not stored: %s", step, error)


class LiveProgress:
    """Progress of a training as an artifact in Prefect's UI, inside a task run."""

    def __init__(self, epochs: float, tracker_log: Callable[[dict[str, float]], None]) -> None:
        self._epochs, self._log = epochs, tracker_log
        self._bar: UUID | None = None
        self._reported_at = monotonic()
        if TaskRunContext.get():
            with self._optional():
                self._bar = cast(UUID, create_progress_artifact(0.0, description="training"))

    def report(self, point: dict[str, float]) -> None:
        """Report a point of the learning curve; its `epoch` gives the progress."""
        self._log(point)
        share = min(1.0, point.get("epoch", 0.0) / self._epochs)
        if self._bar and (share == 1.0 or monotonic() - self._reported_at > REPORT_SECONDS):
            with self._optional():
                update_progress_artifact(self._bar, 100.0 * share)
            self._reported_at = monotonic()

    @contextmanager
    def _optional(self) -> Iterator[None]:
        """Turn the artifact off if the server fails, since its client retries for a minute each time."""
        try:
            yield
        except (PrefectException, httpx.HTTPError) as error:
            reason = without_password(str(error))
            log.warning("Progress of this training is not shown in Prefect: its server failed (%s).", reason)
            self._bar = None


@cached_task("train", hours=48.0)
def train_model(
    tokens: TokensPairRef, pretrained: PretrainedRef, problem: Problem, tuning: Tuning, training: Training
) -> TrainedRef:
    """Train, unless this machine has the model from an earlier attempt, and store its files."""
    from tasks.methods.training.callbacks import Hooks

    settings, key = read_settings(), current_key()
    store = open_store(settings)
    place = settings.home / "training" / key.path.rpartition("/")[2]
    finished = find_model(place)
    was_trained_before = finished is not None
    if finished is None:
        remove_dead_attempts(place)
        attempt = place / f"attempt-{os.getpid()}-{secrets.token_hex(4)}"
        tables = (read_table(store, tokens.train), read_table(store, tokens.validation))
        checkpoint = restore(store, key.path, attempt / "checkpoints")
        meter = Meter()
        with deferred_signals() as signals:
            hooks = Hooks(
                size=meter.note_size,
                report=LiveProgress(training.epochs, current_tracker().log).report,
                keep=partial(keep_checkpoint, store, key.path),
                is_stopping=signals.is_pending,
                stop=signals.deliver,
            )
            folder = unchanged_folder(pretrained)
            with meter.running():
                curve = train(folder, tables, problem, tuning, training, attempt, hooks, checkpoint)
            shutil.rmtree(attempt / "checkpoints")
            finished = publish_model(attempt, place, curve, meter.cost)
    paths = finished.paths(place)
    files = dict(zip((path.name for path in paths), store.put_files(paths), strict=True))
    if was_trained_before:
        log.info("%-18s the model had been trained here before; it is stored now", "train")
    return TrainedRef.of(
        files,
        curve=finished.curve,
        cost=finished.cost,
        code=key.code,
        environment=key.env,
        installed=installed_distributions(),
    )
