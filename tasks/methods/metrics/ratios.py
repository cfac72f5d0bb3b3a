"""What scores are made of. Legend of shapes: G groups, R resamples, S sums, L names."""

import numpy as np
from scipy.sparse import csr_matrix


def share_of(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part divided by whole, 0 where the whole is 0."""
    share: np.ndarray = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return share


def add_rows(values_G: np.ndarray) -> csr_matrix:
    """What a mean over rows sums up: a value of each row, and that it is a row; shape (G, 2)."""
    return csr_matrix(np.stack([values_G, np.ones(len(values_G))], axis=1))


def mean_of_rows(name: str, sums_RS: np.ndarray, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The mean, by its name, of what `add_rows` has summed up."""
    return {name: sums_RS[:, 0] / sums_RS[:, 1]}


def by_name(score: str, values_RL: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {f"{score}_{name}": values_R for name, values_R in zip(names, values_RL.T, strict=True)}
