"""The interface of a tuning method; each entry of TUNERS implements it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def keep_trained_weights(tuning: Any, model: Any) -> None:
    """Return None: the trained weights are stored beside those of the base."""


@dataclass(frozen=True)
class TunerMethods:
    """The functions of a tuning method; `tuning` is its part of the recipe.

    mark: (tuning, model) -> the model with its trained weights marked, and all others frozen
    whole: (tuning, trained model) -> the model to store with all its weights; None: only the marked ones are stored
    """

    mark: Callable[[Any, Any], Any]
    whole: Callable[[Any, Any], Any | None] = keep_trained_weights
