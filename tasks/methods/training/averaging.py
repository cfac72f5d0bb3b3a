"""The best checkpoints of a training, and the average of their weights.

Source: checkpoint averaging of Vaswani et al. 2017 (arXiv:1706.03762, section 6.1), and why it generalises: Izmailov et
al. 2018 (arXiv:1803.05407). Averaged are the checkpoints of the lowest validation losses, not the last ones.
"""

import logging
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from schemas.errors import TrainingError
from tasks.methods.models.artifact import load_trained
from tasks.methods.problems.problem import TRAINED

log = logging.getLogger(__name__)


def best_folders(history: list[dict[str, float]], count: int, checkpoints: Path) -> list[Path]:
    """Return the folders of the `count` lowest validation losses so far, best first; in a tie the earlier first.

    Raises TrainingError if one is missing: the Trainer would only warn and keep the last weights.
    """
    losses = {int(entry["step"]): entry["eval_loss"] for entry in history if "eval_loss" in entry}
    steps = sorted(losses, key=lambda step: (losses[step], step))[:count]
    folders = [checkpoints / f"checkpoint-{step}" for step in steps]
    for folder in folders:
        if not folder.is_dir():
            raise TrainingError(f"{folder}: a checkpoint with one of the best validation losses is missing. Run again.")
    return folders


def remove_others(checkpoints: Path, kept: list[Path]) -> None:
    for folder in set(checkpoints.glob("checkpoint-*")) - set(kept):
        shutil.rmtree(folder)


def load_average(trainer: Any, folders: list[Path]) -> None:
    """Load the average of `folders` (best first) into the trainer's model, or the best alone.

    The one with the lower validation loss is loaded.
    """
    loss_of_best = trainer.state.best_metric
    average = average_checkpoints(folders, folders[0].parent / "average")
    load_trained(trainer.model, average)
    loss = _validation_loss(trainer)
    if not loss < loss_of_best:
        load_trained(trainer.model, folders[0])
    log.info(
        "The average of the %d best checkpoints has a validation loss of %.4f, the best alone %.4f: the %s is kept",
        len(folders),
        loss,
        loss_of_best,
        "average" if loss < loss_of_best else "best alone",
    )


def average_checkpoints(folders: list[Path], target: Path) -> Path:
    target.mkdir()
    with ExitStack() as stack:
        files = [stack.enter_context(safe_open(folder / TRAINED, "pt")) for folder in folders]
        save_file({name: _mean(files, name) for name in files[0].keys()}, target / TRAINED)  # noqa: SIM118
    return target


def _mean(files: list[Any], name: str) -> torch.Tensor:
    first: torch.Tensor = files[0].get_tensor(name)
    # In double precision the mean of equal weights is that weight, to the bit.
    total = torch.zeros_like(first, dtype=torch.float64)
    for file in files:
        total += file.get_tensor(name)
    return (total / len(files)).to(first.dtype)


def _validation_loss(trainer: Any) -> float:
    """Compute the validation loss like the trainer, without adding a point to the learning curve."""
    return float(trainer.evaluation_loop(trainer.get_eval_dataloader(), "Average").metrics["eval_loss"])
