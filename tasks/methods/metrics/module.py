"""A score as a module of `evaluate` that needs no network."""

from typing import Any

import datasets
import evaluate
import numpy as np

from tasks.methods.rules.resampling import Score, group_rows, measure


class ScoreModule(evaluate.Metric):
    """Takes class numbers, or answers written as strings, and the labels in order; gives every score by its name."""

    def __init__(self, score: Score, is_numbered: bool) -> None:
        self._score, self._type = score, datasets.Value("int64" if is_numbered else "string")
        super().__init__(keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=str(self._score.values.__doc__),
            citation="",
            inputs_description="Answers and truth, row by row.",
            features=datasets.Features({"predictions": self._type, "references": self._type}),
        )

    def _compute(self, predictions: Any, references: Any, labels: tuple[str, ...]) -> dict[str, float]:
        return measure(self._score, group_rows(np.asarray(references), np.asarray(predictions)), 0, labels)
