"""Evidence for the gate's rules: predictions of several models for the same rows."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from schemas.records.references import CostsRef


@dataclass(frozen=True)
class Evidence:
    """Tables of predictions for the same rows in the same order; fields as in `EvidenceRef`.

    lengths_N: characters or words of each row's text; None if no rule needs them
    has_classes: whether truth and predictions are class numbers, 0 to C-1
    """

    labels: tuple[str, ...]
    candidate: pd.DataFrame
    champion: pd.DataFrame | None = None
    earlier: dict[str, pd.DataFrame] = field(default_factory=dict)
    baselines: dict[str, pd.DataFrame] = field(default_factory=dict)
    lengths_N: np.ndarray | None = None
    costs: CostsRef | None = None
    seed_scores: tuple[float, ...] = ()
    has_classes: bool = False

    @property
    def num_rows(self) -> int:
        return len(self.candidate)
