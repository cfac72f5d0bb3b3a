"""The losses: (part of the recipe, class_counts_C) -> a `Loss`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tasks.methods.losses import cross_entropy, focal
from tasks.methods.losses.loss import Loss

LOSSES: dict[str, Callable[[Any, np.ndarray | None], Loss]] = {
    "cross-entropy": cross_entropy.make_loss,
    "focal": focal.make_loss,
}
