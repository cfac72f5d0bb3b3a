"""A score as a module of `evaluate` that needs no network."""

from typing import Any

import datasets
import evaluate
import numpy as np

from tasks.methods.metrics.score import Labels, Score, compute, group_rows


class ScoreModule(evaluate.Metric):
    """Takes answers and truth of the kinds that it is made with, and the labels in order; gives every score by name."""

    def __init__(self, score: Score, truth: np.ndarray, answer: np.ndarray) -> None:
        self._score = score
        self._features = datasets.Dataset.from_dict({"predictions": answer, "references": truth}).features
        super().__init__(keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=f"Scores of {' and '.join(self._score.columns)}, computed as the gate computes them.",
            citation="",
            inputs_description="Answers and truth, row by row.",
            features=self._features,
        )

    def _compute(self, predictions: Any, references: Any, labels: Labels) -> dict[str, float]:
        return compute(self._score, group_rows(np.asarray(references), np.asarray(predictions)), 0, labels)
