"""Bayesian bootstrap of the difference of two models' scores (Rubin 1981), with one added row.

Rows get random weights, and one unobserved row is added: for the lower bound a row that only the first model gets
wrong, for the upper bound one that only it gets right. For accuracy, when rows were only lost, the result is the exact
bound of Clopper and Pearson 1934: the weight of x + 1 of n + 1 rows follows Beta(x + 1, n - x). With few lost rows the
observed rows alone are too optimistic. If truths are classes, the added row has the class in which it matters most,
otherwise it resembles the average row.

Legend of shapes: G groups of equal rows, R draws, S sums, K kinds of added rows.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_matrix

from tasks.methods.metrics.score import CHUNK_NUMBERS, Groups, Labels, Score


def draw_differences(
    score: Score, name: str, groups: Groups, labels: Labels, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw R differences first - second of the score `name` for the lower bound, and R for the upper one."""
    (first_GS, second_GS), right_KS, wrong_KS = _sum_rows(score, groups, labels)

    def difference(first_RS: np.ndarray, second_RS: np.ndarray) -> np.ndarray:
        values_R: np.ndarray = score.values(first_RS, labels)[name] - score.values(second_RS, labels)[name]
        return values_R

    one_S, other_S = groups.counts_G[None] @ first_GS, groups.counts_G[None] @ second_GS
    worst = np.argmin(difference(one_S + wrong_KS, other_S + right_KS))
    best = np.argmax(difference(one_S + right_KS, other_S + wrong_KS))
    low, high = [], []
    for weights_RG, unseen_R1 in _weigh(groups.counts_G, resamples, seed, first_GS.shape[1]):
        one_RS, other_RS = weights_RG @ first_GS, weights_RG @ second_GS
        low.append(difference(one_RS + unseen_R1 * wrong_KS[worst], other_RS + unseen_R1 * right_KS[worst]))
        high.append(difference(one_RS + unseen_R1 * right_KS[best], other_RS + unseen_R1 * wrong_KS[best]))
    return np.concatenate(low), np.concatenate(high)


def _sum_rows(
    score: Score, groups: Groups, labels: Labels
) -> tuple[tuple[csr_matrix, csr_matrix], np.ndarray, np.ndarray]:
    """Return what each group's rows add to the sums of either model, and what an added row, right or wrong, adds.

    For a score without extremes the added row adds nothing.
    """
    answers = [*groups.answers_G]
    if score.extremes is not None:
        answers += score.extremes(groups.truth_G, groups.counts_G, labels)
    # Counted together, since the columns may depend on all predictions.
    counts = score.counts(np.tile(groups.truth_G, len(answers)), np.concatenate(answers), labels)
    size = len(groups.counts_G)
    first_GS, second_GS, *extremes = (counts[start : start + size] for start in range(0, counts.shape[0], size))
    if not extremes:
        return (first_GS, second_GS), *np.zeros((2, 1, counts.shape[1]))
    shares_KG = _share_kinds(groups, labels)
    right_KS, wrong_KS = (shares_KG @ rows_GS for rows_GS in extremes)
    return (first_GS, second_GS), right_KS, wrong_KS


def _share_kinds(groups: Groups, labels: Labels) -> np.ndarray:
    """Return the shares of the groups in each kind of added row: one per class if truths are classes, else one."""
    is_class = bool(labels) and np.issubdtype(groups.truth_G.dtype, np.integer)
    kinds_G = np.unique(groups.truth_G, return_inverse=True)[1] if is_class else np.zeros(len(groups.truth_G), int)
    counts_KG = (kinds_G == np.arange(kinds_G.max() + 1)[:, None]) * groups.counts_G
    shares_KG: np.ndarray = counts_KG / counts_KG.sum(axis=1, keepdims=True)
    return shares_KG


def _weigh(counts_G: np.ndarray, resamples: int, seed: int, num_sums: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw weights of the groups' rows and of the added row, n in all."""
    random = np.random.default_rng(seed)
    size = max(1, CHUNK_NUMBERS // max(len(counts_G), num_sums))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        weights_RG = random.standard_gamma(counts_G, size=(rows, len(counts_G)))
        unseen_R1 = random.standard_exponential((rows, 1))
        scale_R1 = counts_G.sum() / (weights_RG.sum(axis=1, keepdims=True) + unseen_R1)
        yield weights_RG * scale_R1, unseen_R1 * scale_R1
