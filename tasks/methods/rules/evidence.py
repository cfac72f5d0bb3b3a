"""What the gate's rules look at: answers of several models to the same rows."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from schemas.records.references import CostsRef


@dataclass(frozen=True)
class Evidence:
    """Tables of answers, all about the same rows in the same order.

    champion: the version in use; None when there is none yet
    earlier: by version, champions of before
    baselines: by name, answers that need no tuning
    lengths_N: characters or words of each row's text; None where no rule asks for them
    costs: what candidate and champion take; None where no rule asks
    seed_scores: the gate's metric on the validation rows, one a seed; empty where one seed was trained
    """

    labels: tuple[str, ...]
    candidate: pd.DataFrame
    champion: pd.DataFrame | None = None
    earlier: dict[str, pd.DataFrame] = field(default_factory=dict)
    baselines: dict[str, pd.DataFrame] = field(default_factory=dict)
    lengths_N: np.ndarray | None = None
    costs: CostsRef | None = None
    seed_scores: tuple[float, ...] = ()

    @property
    def num_rows(self) -> int:
        return len(self.candidate)
