"""A score as a metric of `evaluate`, without network."""

from typing import Any

import datasets
import evaluate
import numpy as np

from tasks.methods.metrics.score import Labels, Score, compute, group_rows


class ScoreModule(evaluate.Metric):
    """Computes every score by name from predictions and truth, of the types given, and the labels in order."""

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
