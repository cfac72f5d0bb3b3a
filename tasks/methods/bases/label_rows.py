"""Rows of a classification head, one a label, which follow their labels' names where a base has such a head already.

By number they would stand for other labels as soon as a recipe lists the same ones in another order.
"""

import copy
import logging
from pathlib import Path
from typing import Any

from tasks.methods.bases.checkpoint import read_weights
from tasks.methods.bases.completeness import names_of_head

log = logging.getLogger(__name__)


def follow_names(model: Any, loading: dict[str, Any], folder: Path, found: dict[int, str]) -> None:
    """Take the rows of labels that the base's head has by name, and initialise all others from torch's seed.

    found: the labels of the base's head by number
    """
    import torch

    if names_of_head(model) <= loading["missing_keys"]:
        return
    names = _names_of_rows(model)
    rows = {name: weight for name, weight in model.named_parameters() if name in names}
    stored = read_weights(folder, names)
    numbers = {label: number for number, label in found.items()}
    kept = {number: numbers[label] for number, label in model.config.id2label.items() if label in numbers}
    spread = getattr(model.config, "initializer_range", 0.02)
    with torch.no_grad():
        for name, weight in rows.items():
            _ = weight.zero_() if weight.ndim == 1 else weight.normal_(std=spread)
            for row, place in kept.items():
                if name in stored and stored[name].shape[1:] == weight.shape[1:] and place < len(stored[name]):
                    weight[row] = stored[name][place]
    _tell(model.config.id2label, kept, found)


def _names_of_rows(model: Any) -> set[str]:
    """Return the names of the weights whose first dimension is the number of labels, found by another number."""
    import torch

    other = copy.deepcopy(model.config)
    other.num_labels = model.config.num_labels + 1
    with torch.device("meta"):
        shapes = {name: weight.shape for name, weight in type(model)(other).named_parameters()}
    return {name for name, weight in model.named_parameters() if weight.shape != shapes[name]}


def _tell(labels: dict[int, str], kept: dict[int, int], found: dict[int, str]) -> None:
    new = [label for number, label in labels.items() if number not in kept]
    new_ones = f", and those of {_list(new)} are new" if new else ""
    done = f"its rows follow their names{new_ones}" if kept else "none is in problem.labels, so the head is new"
    log.warning("%-18s model.base has a head for the labels %s; %s", "train", _list(list(found.values())), done)


def _list(labels: list[str]) -> str:
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
