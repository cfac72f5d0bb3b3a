"""Bootstrap of scores that depend on a confusion matrix only, for one model or two on the same rows.

Resampling rows is the same as resampling the counts of the cells (truth, candidate's answer, champion's answer), a
multinomial draw over C*C*C cells: exact, and its cost does not grow with the number of rows.
Source: Efron and Tibshirani 1993, chapter 13 (percentile interval); Koehn 2004 (paired bootstrap).

Legend of shapes: N rows, C classes, R resamples; a confusion matrix has truth in rows and answers in columns.
"""

from collections.abc import Callable

import numpy as np

Score = Callable[[np.ndarray], np.ndarray]


def accuracy(confusion_RCC: np.ndarray) -> np.ndarray:
    """Share of the diagonal; shape (R,)."""
    share_R: np.ndarray = np.trace(confusion_RCC, axis1=-2, axis2=-1) / confusion_RCC.sum(axis=(-2, -1))
    return share_R


def macro_f1(confusion_RCC: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that truth or answers contain; shape (R,)."""
    right_RC = np.diagonal(confusion_RCC, axis1=-2, axis2=-1)
    total_RC = confusion_RCC.sum(axis=-1) + confusion_RCC.sum(axis=-2)
    f1_RC = np.divide(2 * right_RC, total_RC, out=np.zeros(right_RC.shape), where=total_RC > 0)
    mean_R: np.ndarray = f1_RC.sum(axis=-1) / (total_RC > 0).sum(axis=-1)
    return mean_R


def precision(confusion_RCC: np.ndarray) -> np.ndarray:
    """Of the rows answered with a class, the share that has it; shape (R, C), 0 where none was answered so."""
    return _share_of_diagonal(confusion_RCC, confusion_RCC.sum(axis=-2))


def recall(confusion_RCC: np.ndarray) -> np.ndarray:
    """Of the rows that have a class, the share answered so; shape (R, C), 0 where none has it."""
    return _share_of_diagonal(confusion_RCC, confusion_RCC.sum(axis=-1))


def _share_of_diagonal(confusion_RCC: np.ndarray, total_RC: np.ndarray) -> np.ndarray:
    right_RC = np.diagonal(confusion_RCC, axis1=-2, axis2=-1)
    share_RC: np.ndarray = np.divide(right_RC, total_RC, out=np.zeros(right_RC.shape), where=total_RC > 0)
    return share_RC


SCORES: dict[str, Score] = {"accuracy": accuracy, "macro_f1": macro_f1}
SCORES_BY_CLASS: dict[str, Score] = {"precision": precision, "recall": recall}


def score_intervals(
    confusion_CC: np.ndarray, labels: tuple[str, ...], resamples: int = 2_000
) -> dict[str, tuple[float, float]]:
    """95 % intervals of every score, those by class named `score_label`."""
    draws_RCC = resample(confusion_CC, resamples, seed=0)
    found = {name: interval(score(draws_RCC), 0.975) for name, score in SCORES.items()}
    for name, score in SCORES_BY_CLASS.items():
        values_RC = score(draws_RCC)
        found |= {f"{name}_{label}": interval(values_RC[:, number], 0.975) for number, label in enumerate(labels)}
    return found


def count_cells(truth_N: np.ndarray, candidate_N: np.ndarray, champion_N: np.ndarray, num_classes: int) -> np.ndarray:
    """Count rows by (truth, candidate's answer, champion's answer); shape (C, C, C).

    Raises ValueError when there is no row, or an answer outside 0..C-1.
    """
    if len(truth_N) == 0:
        raise ValueError("there are no rows to compare")
    stacked = np.stack([truth_N, candidate_N, champion_N])
    if stacked.min() < 0 or stacked.max() >= num_classes:
        raise ValueError(f"class numbers lie outside 0..{num_classes - 1}")
    flat_N = np.ravel_multi_index(tuple(stacked), (num_classes,) * 3)
    return np.bincount(flat_N, minlength=num_classes**3).reshape((num_classes,) * 3)


def resample(cells: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Draw the same number of rows with replacement, R times; (C, C, ...) -> (R, C, C, ...)."""
    counts = cells.ravel()
    draws = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    return draws.reshape((resamples, *cells.shape))


def candidate_confusion(cells: np.ndarray) -> np.ndarray:
    """Drop the champion's answers; (..., C, C, C) -> (..., C, C)."""
    confusion: np.ndarray = cells.sum(axis=-1)
    return confusion


def champion_confusion(cells: np.ndarray) -> np.ndarray:
    """Drop the candidate's answers; (..., C, C, C) -> (..., C, C)."""
    confusion: np.ndarray = cells.sum(axis=-2)
    return confusion


def interval(values_R: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval whose two bounds each hold with `confidence` on their own side."""
    low, high = np.quantile(values_R, [1 - confidence, confidence])
    return float(low), float(high)
