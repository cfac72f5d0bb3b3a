"""Bootstrap of scores that are functions of sums over rows, for one model or several on the same rows.

Rows with equal truth and predictions form a group; resampling rows is the same as resampling the counts of the groups,
a multinomial draw: exact, and its cost grows with the groups and not with the rows. If predictions are real numbers or
free texts, every row is a group.
Source: Efron and Tibshirani 1993, chapter 13 (percentile interval); Koehn 2004 (paired bootstrap).

Legend of shapes: N rows, G groups, R resamples, S sums.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from schemas.errors import DataError

# Numbers held at once: 32 MB, whatever the number of groups and sums.
CHUNK_NUMBERS = 4_000_000
Labels = tuple[str, ...]


# Stands for the columns p0 to pC-1 of a table of predictions: an array of shape (N, C).
PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Score:
    """A score, or several with the same sums.

    counts: (truth_G, answer_G, labels) -> what each row adds to the sums, sparse, shape (G, S)
    values: (sums_RS, labels) -> named scores, each of shape (R,)
    columns: of truth_G, equal for every model, and of answer_G, in a table of predictions
    extremes: (truth_G, counts_G, labels) -> predictions that are all right, and the worst possible ones
    """

    counts: Callable[[np.ndarray, np.ndarray, Labels], csr_matrix]
    values: Callable[[np.ndarray, Labels], dict[str, np.ndarray]]
    columns: tuple[str, str] = ("truth", "answer")
    extremes: Callable[[np.ndarray, np.ndarray, Labels], tuple[np.ndarray, np.ndarray]] | None = None

    def read(self, answers: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return truth_N and answer_N of a table of predictions."""
        of_row, of_model = self.columns
        given = answers.filter(regex=r"^p\d+$") if of_model == PROBABILITIES else answers[of_model]
        return answers[of_row].to_numpy(), given.to_numpy()


@dataclass(frozen=True)
class Groups:
    """Groups of rows with equal truth and predictions, and their sizes."""

    truth_G: np.ndarray
    answers_G: tuple[np.ndarray, ...]
    counts_G: np.ndarray


def group_rows(truth_N: np.ndarray, *answers_N: np.ndarray) -> Groups:
    """Group rows by truth and the predictions of one model or several. Raises ValueError when there is no row."""
    if len(truth_N) == 0:
        raise ValueError("there are no rows to compare")
    columns = [truth_N, *answers_N]
    # Rows hardly ever agree in the probabilities of all classes, so each is a group.
    codes = [np.arange(len(column)) if column.ndim > 1 else pd.factorize(column)[0] for column in columns]
    codes_NM = np.stack(codes, axis=1)
    _, first_G, counts_G = np.unique(codes_NM, axis=0, return_index=True, return_counts=True)
    truth_G, *chosen = (np.asarray(column)[first_G] for column in columns)
    return Groups(truth_G, tuple(chosen), counts_G)


def compute(score: Score, groups: Groups, model: int, labels: Labels) -> dict[str, float]:
    """Compute the scores of a model, including those that are not numbers."""
    counts_GS = score.counts(groups.truth_G, groups.answers_G[model], labels)
    return {name: float(value[0]) for name, value in score.values(groups.counts_G[None] @ counts_GS, labels).items()}


def measure(score: Score, groups: Groups, model: int, labels: Labels) -> dict[str, float]:
    """Compute scores for a decision. Raises DataError if one is not a number."""
    found = compute(score, groups, model, labels)
    for name, value in found.items():
        if not math.isfinite(value):
            raise DataError(
                f"{name} is undefined on these {groups.counts_G.sum():,} test rows, for example because they have only "
                "one label. Add rows to data.test, or choose another gate.metric."
            )
    return found


def resample(score: Score, groups: Groups, labels: Labels, resamples: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Compute the scores of each model on the same R bootstrap samples; each of shape (R,)."""
    counts = [score.counts(groups.truth_G, answer_G, labels) for answer_G in groups.answers_G]
    drawn: list[dict[str, list[np.ndarray]]] = [{} for _ in counts]
    for draws_RG in _draws(groups.counts_G, resamples, seed, max(matrix.shape[1] for matrix in counts)):
        for collected, counts_GS in zip(drawn, counts, strict=True):
            for name, values_R in score.values(draws_RG @ counts_GS, labels).items():
                collected.setdefault(name, []).append(values_R)
    return [{name: np.concatenate(values) for name, values in collected.items()} for collected in drawn]


def _draws(counts_G: np.ndarray, resamples: int, seed: int, num_sums: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(seed)
    size = max(1, CHUNK_NUMBERS // max(len(counts_G), num_sums))
    shares_G = counts_G / counts_G.sum()
    for start in range(0, resamples, size):
        yield random.multinomial(counts_G.sum(), shares_G, size=min(size, resamples - start))


def interval(values_R: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval whose two bounds each hold with `confidence` on their own side.

    The bounds are resampled values: with few distinct scores, interpolation would be too optimistic. Samples without a
    score, such as a ranking of one label only, are left out.
    """
    values_R = values_R[np.isfinite(values_R)]
    low = np.quantile(values_R, 1 - confidence, method="lower")
    high = np.quantile(values_R, confidence, method="higher")
    return float(low), float(high)


def score_intervals(
    scores: list[Score], answers: pd.DataFrame, labels: Labels, resamples: int = 2_000
) -> dict[str, tuple[float, float]]:
    """Compute 95 % intervals of every named score of a table of predictions."""
    found: dict[str, tuple[float, float]] = {}
    for score in scores:
        groups = group_rows(*score.read(answers))
        (drawn,) = resample(score, groups, labels, resamples, seed=0)
        found |= {name: interval(values_R, 0.975) for name, values_R in drawn.items() if np.isfinite(values_R).any()}
    return found


def share_of(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide part by whole; 0 where the whole is 0."""
    share: np.ndarray = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return share


def add_rows(values_G: np.ndarray) -> csr_matrix:
    """Return the summands of a mean over rows: the value of each row, and 1; shape (G, 2)."""
    return csr_matrix(np.stack([values_G, np.ones(len(values_G))], axis=1))


def mean_of_rows(name: str, sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Compute the mean of the sums of `add_rows`, by its name."""
    return {name: sums_RS[:, 0] / sums_RS[:, 1]}


def by_name(score: str, values_RL: np.ndarray, names: Labels) -> dict[str, np.ndarray]:
    return {f"{score}_{name}": values_R for name, values_R in zip(names, values_RL.T, strict=True)}
