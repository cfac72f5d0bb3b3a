"""Hugging Face's Trainer as every training here sets it up: batches, evaluations, checkpoints, curves, progress.

A run that is stopped and goes on from a checkpoint sees the batches, dropout masks and rates that it would have seen:
the order of an epoch's rows depends on the seed and the epoch alone, and a checkpoint holds the random states.
"""

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices

from schemas.errors import Diverged
from schemas.learning import Training
from tasks.methods.artifact import load_trained, save_trained
from tasks.methods.averaging import best_folders, remove_others
from tasks.methods.patience import Patience
from tasks.methods.rates import group_parameters
from tasks.methods.snapshot import freeze, snapshot_files

# Five times the first loss, or five nats where training starts from a model that knows the answers: far above any
# spike of a healthy run, whose first loss is near log(C) with C classes.
DIVERGENCE_FACTOR = 5.0
LOGGING_STEPS = 5
SAVE_SECONDS = 600.0
# Checkpoints are kept outside no more often than this many times what keeping one took: at most 5 % of the time.
KEEPING_INTERVAL = 20.0
log = logging.getLogger(__name__)


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Hooks:
    """What training tells its surroundings, and asks them."""

    report: Callable[[dict[str, float]], None] = _nothing
    """A point of the curves."""
    keep: Callable[[int, Path, list[Path]], None] = _nothing
    """A checkpoint to keep: its step, the folder of all checkpoints, the files that matter."""
    is_stopping: Callable[[], bool] = lambda: False
    """Whether to save and stop after this step."""
    stop: Callable[[], None] = _nothing
    """Called once that is done; does not return."""


class EpochSampler(LengthGroupedSampler):
    """Rows of similar length together, in an order that the seed and the epoch decide."""

    def __init__(self, batch_size: int, lengths: list[int], seed: int) -> None:
        super().__init__(batch_size, lengths=lengths)
        self._seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader as each epoch begins."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        indices = get_length_grouped_indices(self.lengths, self.batch_size, generator=generator)  # type: ignore[no-untyped-call]
        return iter(indices)


class OrderedTrainer(Trainer):
    """A Trainer whose batches come from EpochSampler; its own sampler takes the order from the global random state.

    Its parameters are grouped by `group_parameters`.
    """

    layer_decay = 1.0

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None:
            network: Any = self.model
            make, settings = self.get_optimizer_cls_and_kwargs(self.args, network)
            groups = group_parameters(network, self.args.learning_rate, self.args.weight_decay, self.layer_decay)
            self.optimizer = make(groups, **settings)
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        lengths = [len(ids) for ids in train_dataset["input_ids"]]
        return EpochSampler(self.args.train_batch_size, lengths, self.args.seed)

    # A checkpoint holds what is trained; the rest is the base's and cannot differ.
    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        save_trained(self.model, Path(output_dir or self.args.output_dir or ""))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_trained(self.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        best = Path(self.state.best_model_checkpoint or "")
        if best.is_dir():  # otherwise there is no best model, which the training step refuses
            load_trained(self.model, best)


def make_trainer(
    model: Any,
    training: Training,
    rows: tuple[Any, Any],
    collate: Any,
    checkpoints: Path,
    hooks: Hooks,
    layer_decay: float = 1.0,
) -> Trainer:
    """Set up a Trainer for `rows` (training, validation)."""
    trainer = OrderedTrainer(
        model=model,
        args=make_arguments(training, len(rows[0]), checkpoints),
        train_dataset=rows[0],
        eval_dataset=rows[1],
        data_collator=collate,
        callbacks=[
            *([Patience(training.early_stopping.patience)] if training.early_stopping else []),
            Watch(hooks, checkpoints),
            Keeper(hooks, checkpoints, training.average_best),
            ProgressBar(),
        ],
    )
    trainer.layer_decay = layer_decay
    # Without its own bar, which prints every log as a line, the Trainer prints them all the same.
    trainer.remove_callback(PrinterCallback)
    return trainer


def make_arguments(training: Training, num_rows: int, checkpoints: Path) -> TrainingArguments:
    """Say it in the Trainer's words."""
    assert training.learning_rate is not None, "the training step puts the tuning's rate there"
    steps_per_epoch = math.ceil(num_rows / training.batch_size)
    evaluation_steps = math.ceil(steps_per_epoch / training.evaluations_per_epoch)
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=2 * training.batch_size,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule if training.schedule != "constant" else "constant_with_warmup",
        warmup_steps=training.warmup_fraction,
        weight_decay=training.weight_decay,
        eval_strategy="steps",
        eval_steps=evaluation_steps,
        save_strategy="steps",
        save_steps=evaluation_steps,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        restore_callback_states_from_checkpoint=True,
        logging_steps=LOGGING_STEPS,
        logging_first_step=True,
        # The filter would replace the very values that the watch looks for.
        logging_nan_inf_filter=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=training.seeds[0],
        data_seed=training.seeds[0],
        report_to="none",
        disable_tqdm=True,
    )


class ProgressBar(ProgressCallback):
    """A bar on standard error with the loss beside it."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        if self.training_bar is not None and "loss" in logs:
            self.training_bar.set_postfix(loss=f"{logs['loss']:.3f}")


class Watch(TrainerCallback):
    """Reports the curves, and stops a run whose loss has left the reasonable range."""

    def __init__(self, hooks: Hooks, checkpoints: Path) -> None:
        self._hooks, self._checkpoints = hooks, checkpoints

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        self._hooks.report({name: value for name, value in logs.items() if isinstance(value, int | float)})
        loss = _loss(logs)
        if loss is None:
            return
        # The history comes back with a checkpoint, and with it the loss that training began with.
        first = next(found for entry in state.log_history if (found := _loss(entry)) is not None)
        if not math.isfinite(loss) or loss > DIVERGENCE_FACTOR * max(first, 1.0):
            raise Diverged(_divergence(state.global_step, loss, first, self._checkpoints))


class Keeper(TrainerCallback):
    """Saves a checkpoint when evaluations are far apart or the process must end, and has it kept outside.

    Here stay the newest one and the best ones, `num_best` of them.
    """

    def __init__(self, hooks: Hooks, checkpoints: Path, num_best: int = 1) -> None:
        self._hooks, self._checkpoints, self._num_best = hooks, checkpoints, num_best
        self._saved_at = monotonic()
        self._keep_after = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if self._hooks.is_stopping() or monotonic() - self._saved_at > SAVE_SECONDS:
            control.should_save = True
        # What the loss summed up to since the last log is in no checkpoint: log it where one is made.
        control.should_log = control.should_log or control.should_save

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        folder = self._checkpoints / f"checkpoint-{state.global_step}"
        best = best_folders(state.log_history, self._num_best, self._checkpoints)
        remove_others(self._checkpoints, [folder, *best])
        if control.should_training_stop:
            # The Trainer forgets at the next start that it had ended; it is about to end in any case.
            return
        self._saved_at = begun = monotonic()
        is_stopping = self._hooks.is_stopping()
        if is_stopping:
            log.warning("Told to end: saving what was trained. A second signal ends at once.")
        if is_stopping or begun >= self._keep_after:
            freeze(folder)
            self._hooks.keep(state.global_step, self._checkpoints, snapshot_files(folder, best))
            self._keep_after = monotonic() + KEEPING_INTERVAL * (monotonic() - begun)
        if is_stopping:
            self._hooks.stop()


def _loss(entry: dict[str, float]) -> float | None:
    return entry.get("loss", entry.get("eval_loss"))


def _divergence(step: int, loss: float, first_loss: float, checkpoints: Path) -> str:
    saved = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    last = f"The last good checkpoint is {saved[-1]}." if saved else "It came before the first checkpoint."
    return (
        f"Training diverged at step {step}: the loss is {loss:.3g}, it began at {first_loss:.3g}. {last} "
        "The same settings would diverge again: lower training.learning_rate or raise training.warmup_fraction."
    )
