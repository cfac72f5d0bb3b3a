"""A score as a module of `evaluate` that needs no network."""

from typing import Any

import datasets
import evaluate
import numpy as np

from tasks.methods.metrics.score import PROBABILITIES, Score, compute, group_rows


class ScoreModule(evaluate.Metric):
    """Takes what the score reads, of the types given (int64, float64, string), and the labels in order.

    It gives every score by its name.
    """

    def __init__(self, score: Score, truth: str, answer: str) -> None:
        self._score = score
        one = datasets.Value(answer)
        given = datasets.List(one) if score.columns[1] == PROBABILITIES else one
        self._types = {"predictions": given, "references": datasets.Value(truth)}
        super().__init__(keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=str(self._score.values.__doc__),
            citation="",
            inputs_description="Answers and truth, row by row.",
            features=datasets.Features(self._types),
        )

    def _compute(self, predictions: Any, references: Any, labels: tuple[str, ...]) -> dict[str, float]:
        return compute(self._score, group_rows(np.asarray(references), np.asarray(predictions)), 0, labels)
