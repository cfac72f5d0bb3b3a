"""Cross-entropy with label smoothing (Szegedy et al. 2016, arXiv:1512.00567, section 7) and class weights.

Legend of shapes: I items, C classes. With multi-hot labels it is the binary cross-entropy of each label, where
smoothing moves 0 and 1 towards one half.
"""

from functools import partial

import numpy as np
from torch import Tensor
from torch.nn import functional

from schemas.recipe.training import CrossEntropy
from tasks.methods.losses.loss import Loss, weighted_loss


def make_loss(part: CrossEntropy, class_counts_C: np.ndarray | None) -> Loss:
    return weighted_loss(partial(_total, part.label_smoothing), part.class_weights, class_counts_C)


def _total(smoothing: float, weights_C: Tensor | None, logits_IC: Tensor, labels: Tensor) -> Tensor:
    logits_IC = logits_IC.float()
    weights_C = weights_C if weights_C is None else weights_C.to(logits_IC.device)
    if labels.is_floating_point():
        return _binary_total(smoothing, weights_C, logits_IC, labels)
    return functional.cross_entropy(logits_IC, labels, weight=weights_C, label_smoothing=smoothing, reduction="sum")


def _binary_total(smoothing: float, weights_C2: Tensor | None, logits_IC: Tensor, labels_IC: Tensor) -> Tensor:
    targets_IC = (1 - smoothing) * labels_IC.float() + smoothing / 2
    if weights_C2 is None:
        return functional.binary_cross_entropy_with_logits(logits_IC, targets_IC, reduction="sum")
    no_C, yes_C = weights_C2.unbind(dim=1)
    return functional.binary_cross_entropy_with_logits(
        logits_IC, targets_IC, weight=no_C, pos_weight=yes_C / no_C, reduction="sum"
    )
