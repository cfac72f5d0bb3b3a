"""Focal loss: -(1 - p)^gamma log p of the true class. Source: Lin et al. 2017 (arXiv:1708.02002), equations 4 and 5.

Legend of shapes: I items, C classes. With multi-hot labels it is the binary focal loss of each label, as in the paper.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from schemas.recipe.training import Focal
from tasks.methods.losses.loss import Loss, weigh, weighted_loss

# The slope of x^gamma at 0 is infinite for gamma < 1.
SMALLEST = 1e-8


def make_loss(part: Focal, class_counts_C: np.ndarray | None) -> Loss:
    """Make the loss; balanced weights are the paper's alpha, and the weight of an item excludes the focal factor."""
    return weighted_loss(partial(_total, part.gamma), part.class_weights, class_counts_C)


def _total(gamma: float, weights_C: Tensor | None, logits_IC: Tensor, labels: Tensor) -> Tensor:
    losses = _cross_entropies(logits_IC.float(), labels)
    unsure = (-torch.expm1(-losses)).clamp(min=SMALLEST)
    return (weigh(weights_C, labels) * unsure**gamma * losses).sum()


def _cross_entropies(logits_IC: Tensor, labels: Tensor) -> Tensor:
    """Return -log p of each item's true class, or of each label's presence or absence."""
    if labels.is_floating_point():
        return functional.binary_cross_entropy_with_logits(logits_IC, labels.float(), reduction="none")
    return functional.cross_entropy(logits_IC, labels, reduction="none")
