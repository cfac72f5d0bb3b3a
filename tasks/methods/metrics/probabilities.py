"""Scores of a classifier's probabilities: ranking and calibration.

Sources: Brier 1950 (sum over classes, 0 to 2); Guo et al. 2017, arXiv:1706.04599 (expected calibration error, 15 bins
of equal width); Fawcett 2006 (area under the ROC curve, one class against the others, ties counting half).

Legend of shapes: G rows, C classes, R resamples, B bins, D distinct probabilities of a class at most.
"""

from functools import partial

import numpy as np
from scipy.sparse import csr_matrix, hstack

from tasks.methods.metrics.confusion import right_and_wrong
from tasks.methods.metrics.score import PROBABILITIES, Labels, Score, add_rows, mean_of_rows, share_of

BINS = 15
COLUMNS = ("truth", PROBABILITIES)


def sure_of(truth_G: np.ndarray, counts_G: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Return probability 1 for the true class, and for the rarest other one."""
    right_G, wrong_G = right_and_wrong(truth_G, counts_G, labels)
    return np.eye(len(labels))[right_G], np.eye(len(labels))[wrong_G]


def count_brier(truth_G: np.ndarray, probabilities_GC: np.ndarray, labels: Labels) -> csr_matrix:
    """Compute each row's squared distance from the truth; lower is better."""
    return add_rows(((probabilities_GC - np.eye(len(labels))[truth_G]) ** 2).sum(axis=1))


def count_bins(truth_G: np.ndarray, probabilities_GC: np.ndarray, labels: Labels) -> csr_matrix:
    """Count rows, right predictions and confidences in the bin of the row's confidence; shape (G, 3 * B)."""
    sureness_G, rows = probabilities_GC.max(axis=1), np.arange(len(truth_G))
    bins_G = np.clip(np.ceil(sureness_G * BINS).astype(int) - 1, 0, BINS - 1)
    is_right_G = probabilities_GC.argmax(axis=1) == truth_G
    parts = (np.ones(len(rows)), is_right_G.astype(float), sureness_G)
    return hstack([csr_matrix((part, (rows, bins_G)), shape=(len(rows), BINS)) for part in parts], format="csr")


def calibration_error(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Mean distance between confidence and accuracy over bins, weighted by rows; lower is better."""
    rows_RB, right_RB, sureness_RB = np.split(sums_RS, 3, axis=1)
    return {"calibration_error": np.abs(right_RB - sureness_RB).sum(axis=1) / rows_RB.sum(axis=1)}


def count_ranks(truth_G: np.ndarray, probabilities_GC: np.ndarray, labels: Labels) -> csr_matrix:
    """Count for each class, at the rank of its probability, rows with and without the class; shape (G, C * 2 * D)."""
    rows = np.arange(len(truth_G))
    ranks = [np.unique(probabilities_G, return_inverse=True)[1] for probabilities_G in probabilities_GC.T]
    num_ranks = max(int(ranks_G.max()) for ranks_G in ranks) + 1
    parts = [
        csr_matrix((has_G.astype(float), (rows, ranks_G)), shape=(len(rows), num_ranks))
        for number, ranks_G in enumerate(ranks)
        for has_G in (truth_G == number, truth_G != number)
    ]
    return hstack(parts, format="csr")


def ranking(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Chance that a row of a class gets a higher probability of it than another row; the mean over classes.

    Classes on no row or on all rows are left out; NaN if none is left.
    """
    sums_RC2D = sums_RS.reshape(len(sums_RS), len(labels), 2, -1)
    has_RCD, others_RCD = sums_RC2D[:, :, 0], sums_RC2D[:, :, 1]
    below_RCD = others_RCD.cumsum(axis=-1) - others_RCD / 2
    pairs_RC = has_RCD.sum(-1) * others_RCD.sum(-1)
    areas_RC = share_of((has_RCD * below_RCD).sum(-1), pairs_RC)
    counting_R = (pairs_RC > 0).sum(axis=1)
    return {"auroc": np.where(counting_R > 0, share_of(areas_RC.sum(axis=1), counting_R), np.nan)}


BRIER = Score(count_brier, partial(mean_of_rows, "brier"), COLUMNS, sure_of)
CALIBRATION_ERROR = Score(count_bins, calibration_error, COLUMNS, sure_of)
AUROC = Score(count_ranks, ranking, COLUMNS, sure_of)
