"""The best checkpoints of a training, and the average of their weights.

Source: checkpoint averaging of Vaswani et al. 2017 (arXiv:1706.03762, section 6.1), and why it generalises: Izmailov et
al. 2018 (arXiv:1803.05407). The checkpoints are those of the lowest validation losses, not the last ones.
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
from tasks.methods.snapshot import TENSORS

log = logging.getLogger(__name__)


def best_folders(history: list[dict[str, float]], count: int, checkpoints: Path) -> list[Path]:
    """Give the folders of the `count` lowest validation losses so far, best first; of equal ones the earlier.

    Raises TrainingError when one is gone: the Trainer would only warn, and the last weights would pass for the best.
    """
    losses = {int(entry["step"]): entry["eval_loss"] for entry in history if "eval_loss" in entry}
    steps = sorted(losses, key=lambda step: (losses[step], step))[:count]
    folders = [checkpoints / f"checkpoint-{step}" for step in steps]
    for folder in folders:
        if not folder.is_dir():
            raise TrainingError(f"{folder}: a checkpoint with the best validation loss is gone. Run again.")
    return folders


def remove_others(checkpoints: Path, kept: list[Path]) -> None:
    """Remove all checkpoints but those in `kept`."""
    for folder in set(checkpoints.glob("checkpoint-*")) - set(kept):
        shutil.rmtree(folder)


def load_average(trainer: Any, folders: list[Path]) -> None:
    """Load the average of `folders` (best first) into the trainer's model, unless the best alone is better.

    Better is a lower validation loss.
    """
    loss_of_best = trainer.state.best_metric
    average = average_checkpoints(folders, folders[0].parent / "average")
    _load(trainer, average)
    loss = _validation_loss(trainer)
    if not loss < loss_of_best:
        _load(trainer, folders[0])
    log.info(
        "The average of the %d best checkpoints has a validation loss of %.4f, the best alone %.4f: the %s is kept",
        len(folders),
        loss,
        loss_of_best,
        "average" if loss < loss_of_best else "best alone",
    )


def average_checkpoints(folders: list[Path], target: Path) -> Path:
    """Write a checkpoint's model files with the mean of each weight over `folders`; what is no float is the first's."""
    target.mkdir()
    for path in folders[0].iterdir():
        if path.suffix == ".json":
            shutil.copyfile(path, target / path.name)
        elif path.suffix == ".safetensors" and path.name != TENSORS:
            _average_files([folder / path.name for folder in folders], target / path.name)
    return target


def _average_files(paths: list[Path], target: Path) -> None:
    with ExitStack() as stack:
        files = [stack.enter_context(safe_open(path, "pt")) for path in paths]
        save_file({name: _mean(files, name) for name in files[0].keys()}, target, {"format": "pt"})  # noqa: SIM118


def _mean(files: list[Any], name: str) -> torch.Tensor:
    first: torch.Tensor = files[0].get_tensor(name)
    if not first.is_floating_point():
        return first
    # In double precision the mean of equal weights is that weight, to the bit: frozen ones stay as they are.
    total = torch.zeros_like(first, dtype=torch.float64)
    for file in files:
        total += file.get_tensor(name)
    return (total / len(files)).to(first.dtype)


def _load(trainer: Any, folder: Path) -> None:
    # The Trainer knows how each kind of model is loaded, adapters among them.
    trainer.state.best_model_checkpoint = str(folder)
    trainer._load_best_model()


def _validation_loss(trainer: Any) -> float:
    """The validation loss as the Trainer measures it, without a point in the learning curve."""
    metrics = trainer.evaluation_loop(trainer.get_eval_dataloader(), "Average", prediction_loss_only=True).metrics
    # Closes the bar that the loop has opened.
    trainer.callback_handler.on_predict(trainer.args, trainer.state, trainer.control, metrics)
    return float(metrics["eval_loss"])
