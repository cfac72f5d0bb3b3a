"""The functions that make a tuning method; a row of TUNERS is one of these."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def keep_trained_weights(tuning: Any, model: Any) -> None:
    """No whole model: the trained weights are kept beside the base's own."""


@dataclass(frozen=True)
class TunerMethods:
    """How a model is prepared for a tuning, and what is kept of it; `tuning` is the method's part of the recipe.

    mark: (tuning, model) -> the model with the weights it trains marked, and all others frozen
    whole: (tuning, trained model) -> the model to be kept with all its weights; None: only the marked ones are kept
    """

    mark: Callable[[Any, Any], Any]
    whole: Callable[[Any, Any], Any | None] = keep_trained_weights
