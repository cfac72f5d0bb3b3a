"""Bootstrap of scores that depend on a confusion matrix only, for one model or two on the same rows.

Resampling rows is the same as resampling the counts of the cells (truth, candidate's answer, champion's answer), a
multinomial draw over the cells that occur: exact, and its cost grows with those cells and not with the rows.
Source: Efron and Tibshirani 1993, chapter 13 (percentile interval); Koehn 2004 (paired bootstrap).

Legend of shapes: N rows, K cells that occur, M columns of a cell (truth, then one or two answers), C classes,
R resamples; a confusion matrix has truth in rows and answers in columns.
"""

from collections.abc import Callable, Iterator

import numpy as np

Score = Callable[[np.ndarray], np.ndarray]
# Numbers held at once: 32 MB, whatever the number of classes.
CHUNK_NUMBERS = 4_000_000


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


def count_cells(columns: list[np.ndarray], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Count rows by their class numbers in the columns (truth, answers ...); shapes (K, M) and (K,).

    Raises ValueError when there is no row, or a number outside 0..C-1.
    """
    rows_NM = np.stack(columns, axis=1)
    if len(rows_NM) == 0:
        raise ValueError("there are no rows to compare")
    if rows_NM.min() < 0 or rows_NM.max() >= num_classes:
        raise ValueError(f"class numbers lie outside 0..{num_classes - 1}")
    cells_KM, counts_K = np.unique(rows_NM, axis=0, return_counts=True)
    return cells_KM, counts_K


def confusion_of(cells_KM: np.ndarray, counts_RK: np.ndarray, model: int, num_classes: int) -> np.ndarray:
    """Add cells up to the confusion matrix of the model in column `model` (1 or 2); shape (R, C, C)."""
    flat_K = cells_KM[:, 0] * num_classes + cells_KM[:, model]
    order_K = np.argsort(flat_K, kind="stable")
    places, starts = np.unique(flat_K[order_K], return_index=True)
    confusion_R = np.zeros((len(counts_RK), num_classes**2), dtype=counts_RK.dtype)
    confusion_R[:, places] = np.add.reduceat(counts_RK[:, order_K], starts, axis=1)
    return confusion_R.reshape(-1, num_classes, num_classes)


def resample(
    cells_KM: np.ndarray, counts_K: np.ndarray, num_classes: int, resamples: int, seed: int
) -> Iterator[list[np.ndarray]]:
    """Draw as many rows with replacement, R times; give the models' confusion matrices, some resamples at a time."""
    random = np.random.default_rng(seed)
    size = max(1, CHUNK_NUMBERS // max(len(counts_K), num_classes**2))
    for start in range(0, resamples, size):
        shares_K = counts_K / counts_K.sum()
        draws_RK = random.multinomial(counts_K.sum(), shares_K, size=min(size, resamples - start))
        yield [confusion_of(cells_KM, draws_RK, model, num_classes) for model in range(1, cells_KM.shape[1])]


def interval(values_R: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval whose two bounds each hold with `confidence` on their own side."""
    low, high = np.quantile(values_R, [1 - confidence, confidence])
    return float(low), float(high)


def score_intervals(
    truth_N: np.ndarray, answer_N: np.ndarray, labels: tuple[str, ...], resamples: int = 2_000
) -> dict[str, tuple[float, float]]:
    """95 % intervals of every score, those by class named `score_label`."""
    cells_KM, counts_K = count_cells([truth_N, answer_N], len(labels))
    drawn: dict[str, list[np.ndarray]] = {}
    for (confusion_RCC,) in resample(cells_KM, counts_K, len(labels), resamples, seed=0):
        for name, score in SCORES.items():
            drawn.setdefault(name, []).append(score(confusion_RCC))
        for name, score in SCORES_BY_CLASS.items():
            for label, values_R in zip(labels, score(confusion_RCC).T, strict=True):
                drawn.setdefault(f"{name}_{label}", []).append(values_R)
    return {name: interval(np.concatenate(values), 0.975) for name, values in drawn.items()}
