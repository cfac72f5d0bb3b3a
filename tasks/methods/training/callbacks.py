"""Callbacks of the Trainer: learning curves, progress, early stopping, divergence, checkpoints kept outside."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from transformers import EarlyStoppingCallback, ProgressCallback, TrainerCallback

from schemas.errors import Diverged
from tasks.methods.training.averaging import best_folders, remove_others
from tasks.methods.training.checkpoint_format import freeze, snapshot_files

# Five times the first loss, or five nats if the model was trained already: far above any spike of a healthy run,
# whose first loss is near log(C) with C classes.
DIVERGENCE_FACTOR = 5.0
SAVE_SECONDS = 600.0
# Share of the time that keeping checkpoints outside may take; the first one's time is estimated from its size.
KEEPING_SHARE = 0.02
KEEPING_BYTES_PER_SECOND = 100e6
log = logging.getLogger(__name__)


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Hooks:
    """Hooks of a training for its caller."""

    size: Callable[[int, int], None] = _nothing
    """Numbers of trained parameters and of all parameters."""
    report: Callable[[dict[str, float]], None] = _nothing
    """A point of the curves."""
    keep: Callable[[int, Path, list[Path]], None] = _nothing
    """A checkpoint to keep: its step, the folder of all checkpoints, the files to keep."""
    is_stopping: Callable[[], bool] = lambda: False
    """True to save a checkpoint and stop after this step."""
    stop: Callable[[], None] = _nothing
    """Called after that; does not return."""


class ProgressBar(ProgressCallback):
    """Progress bar on standard error, with the loss."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        if self.training_bar is not None and "loss" in logs:
            self.training_bar.set_postfix(loss=f"{logs['loss']:.3f}")


class Patience(EarlyStoppingCallback):
    """Early stopping after some evaluations without a better validation loss; warns if it cannot take effect.

    Source: Prechelt 1998, "Early stopping - but when?".
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        super().on_train_begin(args, state, control, **more)  # type: ignore[no-untyped-call]
        # The first evaluation is always the best so far, and stopping at the last step is not early.
        if (self.early_stopping_patience + 1) * args.eval_steps >= state.max_steps:
            log.warning(
                "training.early_stopping has no effect: %d evaluations, patience %d",
                math.ceil(state.max_steps / args.eval_steps),
                self.early_stopping_patience,
            )


class Watch(TrainerCallback):
    """Reports the learning curve, and stops a diverged training."""

    def __init__(self, hooks: Hooks, checkpoints: Path) -> None:
        self._hooks, self._checkpoints = hooks, checkpoints

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        self._hooks.report({name: value for name, value in logs.items() if isinstance(value, int | float)})
        loss = _loss(logs)
        if loss is None:
            return
        # A checkpoint restores the history, and with it the first loss.
        first = next(found for entry in state.log_history if (found := _loss(entry)) is not None)
        if not math.isfinite(loss) or loss > DIVERGENCE_FACTOR * max(first, 1.0):
            raise Diverged(_divergence(state.global_step, loss, first, self._checkpoints))


class Keeper(TrainerCallback):
    """Saves a checkpoint when evaluations are far apart or the process must end, and keeps it outside.

    The folder holds the newest checkpoint and the `num_best` best ones.
    """

    def __init__(self, hooks: Hooks, checkpoints: Path, num_best: int = 1) -> None:
        self._hooks, self._checkpoints, self._num_best = hooks, checkpoints, num_best
        self._begun = self._saved_at = monotonic()
        self._kept_seconds = 0.0
        self._seconds_each: float | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if self._hooks.is_stopping() or monotonic() - self._saved_at > SAVE_SECONDS:
            control.should_save = True
        # No checkpoint holds the loss summed since the last log, so log before saving.
        control.should_log = control.should_log or control.should_save

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        folder = self._checkpoints / f"checkpoint-{state.global_step}"
        best = best_folders(state.log_history, self._num_best, self._checkpoints)
        remove_others(self._checkpoints, [folder, *best])
        if control.should_training_stop:
            # Training ends here; on resumption the Trainer would not know that it had ended.
            return
        self._saved_at = monotonic()
        is_stopping = self._hooks.is_stopping()
        if is_stopping:
            log.warning("Interrupted: saving a checkpoint. A second signal ends the run at once.")
        if is_stopping or self._is_due(folder):
            self._keep(state.global_step, folder, best)
        if is_stopping:
            self._hooks.stop()

    def _is_due(self, folder: Path) -> bool:
        if self._seconds_each is None:
            self._seconds_each = sum(path.stat().st_size for path in folder.iterdir()) / KEEPING_BYTES_PER_SECOND
        return self._kept_seconds + self._seconds_each <= KEEPING_SHARE * (monotonic() - self._begun)

    def _keep(self, step: int, folder: Path, best: list[Path]) -> None:
        begun = monotonic()
        freeze(folder)
        self._hooks.keep(step, self._checkpoints, snapshot_files(folder, best))
        self._seconds_each = monotonic() - begun
        self._kept_seconds += self._seconds_each


def _loss(entry: dict[str, float]) -> float | None:
    return entry.get("loss", entry.get("eval_loss"))


def _divergence(step: int, loss: float, first_loss: float, checkpoints: Path) -> str:
    saved = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    last = f"The last good checkpoint is {saved[-1]}." if saved else "There is no checkpoint from before."
    return (
        f"Training diverged at step {step}: the loss is {loss:.3g}, the first one was {first_loss:.3g}. {last} "
        "The same settings would diverge again: lower training.learning_rate or raise training.warmup_fraction."
    )
