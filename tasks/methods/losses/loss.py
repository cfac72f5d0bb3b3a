"""Losses and class weights.

Legend of shapes: I items (rows, or tokens), C classes. The labels of items with one class each are integers labels_I,
-100 for items without a target. Items with any number of labels have multi-hot labels_IC of a floating type: each label
is then a binary problem, counted as class_counts_C2 (without, with).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from schemas.errors import RecipeError
from tasks.methods.problems.encoded import IGNORED


@dataclass(frozen=True)
class Loss:
    """A loss in two parts that add up over micro-batches: the loss of a batch is sum(total) / sum(weight).

    This is the weighted mean over items, for multi-hot labels over items and labels, like PyTorch's `reduction="mean"`
    on the whole batch.
    """

    total: Callable[[Tensor, Tensor], Tensor]
    """(logits_IC, labels_I or multi-hot labels_IC) -> the sum of the items' weighted losses."""
    weight: Callable[[Tensor], Tensor]
    """labels -> the sum of the items' weights."""


def weighted_loss(
    total: Callable[[Tensor | None, Tensor, Tensor], Tensor], class_weights: str, class_counts_C: np.ndarray | None
) -> Loss:
    """Make a loss from `total`: (weights_C, logits_IC, labels) -> the sum of the items' weighted losses.

    Only balanced weights need `class_counts_C`. Raises RecipeError when a class is absent.
    """
    weights_C = balance(class_weights, class_counts_C)
    return Loss(total=partial(total, weights_C), weight=lambda labels: weigh(weights_C, labels).sum())


def as_items(values: Tensor, labels: Tensor) -> Tensor:
    """Flatten logits or labels to one axis of items; class numbers with two axes are those of tokens."""
    return values.flatten(0, 1) if labels.ndim == 2 and not labels.is_floating_point() else values


def collect_labels(labels: Iterable[Any]) -> Tensor:
    """Collect the labels of all rows in one tensor: class numbers of rows or of tokens, or multi-hot rows."""
    rows = [torch.as_tensor(np.array(row)) for row in labels]
    is_one_a_token = rows[0].ndim == 1 and not rows[0].is_floating_point()
    return torch.cat(rows) if is_one_a_token else torch.stack(rows)


def count_classes(labels: Tensor, num_classes: int) -> np.ndarray:
    """Count class_counts_C of labels_I, or class_counts_C2 (items without, with) of multi-hot labels_IC."""
    if labels.is_floating_point():
        present_C = labels.sum(dim=0)
        return torch.stack([len(labels) - present_C, present_C], dim=1).long().numpy()
    return torch.bincount(labels[labels != IGNORED], minlength=num_classes).numpy()


def balance(choice: str, class_counts_C: np.ndarray | None) -> Tensor | None:
    """Compute class weights, items / (classes * items of the class), in the shape of the counts; None for none.

    All classes then have the same total weight, and an item weighs 1 on average (King and Zeng 2001).
    Raises RecipeError when a class has no items, or a label is on none or on all.
    """
    if choice == "none":
        return None
    assert class_counts_C is not None, "balanced weights need counts"
    if (class_counts_C == 0).any():
        absent = ", ".join(str(number) for number in np.unique(np.argwhere(class_counts_C == 0)[:, 0]))
        raise RecipeError(
            f"training.loss.class_weights is balanced, but class {absent} (label or tag, counted from 0) is on none or "
            "on all of the training items, so no weight can balance it. Use class_weights: none."
        )
    counts_C = torch.as_tensor(class_counts_C, dtype=torch.float64)
    return (counts_C.sum(-1, keepdim=True) / (counts_C.shape[-1] * counts_C)).float()


def weigh(weights_C: Tensor | None, labels: Tensor) -> Tensor:
    """Return the weight of each item, or of each label of each item; 0 for items without a target."""
    is_multi_hot = labels.is_floating_point()
    counted = torch.ones_like(labels) if is_multi_hot else (labels != IGNORED).float()
    if weights_C is None:
        return counted
    weights_C = weights_C.to(labels.device)
    if is_multi_hot:
        return torch.where(labels > 0, weights_C[:, 1], weights_C[:, 0])
    return counted * weights_C[labels.clamp(min=0)]
