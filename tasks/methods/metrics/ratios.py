"""What scores are made of. Legend of shapes: R resamples, L names."""

import numpy as np


def share_of(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part divided by whole, 0 where the whole is 0."""
    share: np.ndarray = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return share


def by_name(score: str, values_RL: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """One score a name."""
    return {f"{score}_{name}": values_R for name, values_R in zip(names, values_RL.T, strict=True)}
