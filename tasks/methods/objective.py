"""What training lowers: the sum of the items' losses over the sum of their weights, whatever the batches.

Legend: N items that count (rows, tokens ...), C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, tensor
from torch.nn.functional import cross_entropy


@dataclass(frozen=True)
class Loss:
    """A loss that can be summed over parts of a batch."""

    total: Callable[[Tensor, Tensor], Tensor]
    """(logits_NC, labels_N) -> the sum of the items' weighted losses."""
    weight: Callable[[Tensor], Tensor]
    """labels_N -> the sum of the items' weights."""


@dataclass(frozen=True)
class Objective:
    """A loss over the items of a problem.

    `align`: (logits, labels) -> (logits_NC, labels_N), the items that count. It must index the leading axes of both
    alike, for labels stand in for logits where only the weight is asked, before any logits are there.
    """

    loss: Loss
    align: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda logits, labels: (logits, labels)

    def total(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum of the items' weighted losses, a scalar."""
        return self.loss.total(*self.align(logits, labels))

    def weight(self, labels: Tensor) -> Tensor:
        """The sum of the items' weights, a scalar."""
        return self.loss.weight(self.align(labels, labels)[1])


CROSS_ENTROPY = Loss(
    total=lambda logits_NC, labels_N: cross_entropy(logits_NC, labels_N, reduction="sum"),
    weight=lambda labels_N: tensor(float(len(labels_N)), device=labels_N.device),
)
