"""Scores that depend only on the confusion matrix: truth in rows, predictions in columns.

Legend of shapes: G groups of equal rows, C classes, R resamples.
"""

import numpy as np
from scipy.sparse import csr_matrix

from tasks.methods.metrics.score import Labels, Score, by_name, share_of


def count_cells(truth_G: np.ndarray, answer_G: np.ndarray, labels: Labels) -> csr_matrix:
    """Count one in the cell of each row; shape (G, C * C). Raises ValueError for a number outside 0..C-1."""
    num_classes = len(labels)
    if min(truth_G.min(), answer_G.min()) < 0 or max(truth_G.max(), answer_G.max()) >= num_classes:
        raise ValueError(f"class numbers lie outside 0..{num_classes - 1}")
    rows, cells = np.arange(len(truth_G)), truth_G * num_classes + answer_G
    return csr_matrix((np.ones(len(rows), dtype=np.int64), (rows, cells)), shape=(len(rows), num_classes**2))


def right_and_wrong(truth_G: np.ndarray, counts_G: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Return the true class, and the rarest other one, where an error does the most harm."""
    rows_C = np.bincount(truth_G, weights=counts_G, minlength=len(labels))
    # A class without rows comes last: predicting it would add a class to the mean.
    rarest = np.argsort(np.where(rows_C > 0, rows_C, np.inf), kind="stable")
    return truth_G, np.where(truth_G == rarest[0], rarest[1], rarest[0])


def accuracy(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Share of right predictions."""
    confusion_RCC = _confusion(sums_RS, labels)
    return {"accuracy": np.trace(confusion_RCC, axis1=-2, axis2=-1) / confusion_RCC.sum(axis=(-2, -1))}


def macro_f1(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Mean F1 of the classes that truth or predictions contain."""
    confusion_RCC = _confusion(sums_RS, labels)
    total_RC = confusion_RCC.sum(axis=-1) + confusion_RCC.sum(axis=-2)
    f1_RC = 2 * _share_of_diagonal(confusion_RCC, total_RC)
    return {"macro_f1": f1_RC.sum(axis=-1) / (total_RC > 0).sum(axis=-1)}


def precision(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Precision of each class; 0 for a class that is never predicted."""
    confusion_RCC = _confusion(sums_RS, labels)
    return by_name("precision", _share_of_diagonal(confusion_RCC, confusion_RCC.sum(axis=-2)), labels)


def recall(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Recall of each class; 0 for a class without rows."""
    confusion_RCC = _confusion(sums_RS, labels)
    return by_name("recall", _share_of_diagonal(confusion_RCC, confusion_RCC.sum(axis=-1)), labels)


def f1(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """F1 of each class; 0 for an absent class. Micro F1 equals accuracy if each row has one label."""
    confusion_RCC = _confusion(sums_RS, labels)
    total_RC = confusion_RCC.sum(axis=-1) + confusion_RCC.sum(axis=-2)
    return by_name("f1", 2 * _share_of_diagonal(confusion_RCC, total_RC), labels)


def mcc(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Correlation of truth and prediction, -1 to 1 (Matthews 1975, Gorodkin 2004); 0 if one is constant."""
    # As floats: the product of two variances of 80,000 rows overflows 64 bits.
    confusion_RCC = _confusion(sums_RS, labels).astype(float)
    truth_RC, answer_RC = confusion_RCC.sum(axis=-1), confusion_RCC.sum(axis=-2)
    rows_R = truth_RC.sum(axis=-1)
    covariance_R = np.trace(confusion_RCC, axis1=-2, axis2=-1) * rows_R - (truth_RC * answer_RC).sum(axis=-1)
    variances_R = (rows_R**2 - (truth_RC**2).sum(axis=-1)) * (rows_R**2 - (answer_RC**2).sum(axis=-1))
    return {"mcc": share_of(covariance_R, np.sqrt(variances_R))}


def _confusion(sums_RS: np.ndarray, labels: Labels) -> np.ndarray:
    return sums_RS.reshape(-1, len(labels), len(labels))


def _share_of_diagonal(confusion_RCC: np.ndarray, total_RC: np.ndarray) -> np.ndarray:
    return share_of(np.diagonal(confusion_RCC, axis1=-2, axis2=-1), total_RC)


ACCURACY = Score(count_cells, accuracy, extremes=right_and_wrong)
MACRO_F1 = Score(count_cells, macro_f1, extremes=right_and_wrong)
PRECISION = Score(count_cells, precision, extremes=right_and_wrong)
RECALL = Score(count_cells, recall, extremes=right_and_wrong)
F1 = Score(count_cells, f1, extremes=right_and_wrong)
MCC = Score(count_cells, mcc, extremes=right_and_wrong)
