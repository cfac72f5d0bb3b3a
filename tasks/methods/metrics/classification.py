"""Classification scores as `evaluate` modules that need no network, computed by scikit-learn.

Each takes class numbers; `labels`, the names in order, gives one score a class where a metric is per class.
"""

from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

FEATURES = {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}


class _Metric(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=str(type(self).__doc__),
            citation="",
            inputs_description="Class numbers.",
            features=datasets.Features(FEATURES),
        )


class Accuracy(_Metric):
    """Share of rows answered rightly."""

    def _compute(self, predictions: Any, references: Any, labels: list[str]) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}


class MacroF1(_Metric):
    """Mean over classes of F1; a class absent from truth and answers is left out."""

    def _compute(self, predictions: Any, references: Any, labels: list[str]) -> dict[str, float]:
        return {"macro_f1": float(f1_score(references, predictions, average="macro", zero_division=0))}


class Precision(_Metric):
    """Of the rows answered with a class, the share that has it; 0 where none was answered so."""

    def _compute(self, predictions: Any, references: Any, labels: list[str]) -> dict[str, float]:
        return _by_class("precision", 0, predictions, references, labels)


class Recall(_Metric):
    """Of the rows that have a class, the share answered so; 0 where none has it."""

    def _compute(self, predictions: Any, references: Any, labels: list[str]) -> dict[str, float]:
        return _by_class("recall", 1, predictions, references, labels)


def _by_class(name: str, column: int, predictions: Any, references: Any, labels: list[str]) -> dict[str, float]:
    numbers = np.arange(len(labels))
    scores = precision_recall_fscore_support(references, predictions, labels=numbers, zero_division=0)[column]
    return {f"{name}_{label}": float(score) for label, score in zip(labels, scores, strict=True)}
