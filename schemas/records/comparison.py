"""Results of `tunegate compare`: scores and costs of tuning methods."""

from pydantic import Field

from schemas.frozen import Frozen
from schemas.records.references import Blob, Reference, TrainingCost


class MethodScores(Frozen):
    """A method's scores on the test rows, one a seed, and their mean with its 95 % interval over the rows.

    `ahead` is the interval of the mean's difference to the last baseline on the same rows; None without a baseline.
    """

    name: str
    scores: tuple[float, ...] = Field(min_length=1)
    mean: float
    standard_deviation: float
    interval: tuple[float, float]
    ahead: tuple[float, float] | None = None

    @property
    def beats_baseline(self) -> bool:
        return self.ahead is not None and self.ahead[0] > 0


class ComparisonRef(Reference):
    """Scores of the methods and of baselines without tuning; `picture` is a PNG."""

    metric: str
    num_rows: int
    baselines: tuple[MethodScores, ...]
    methods: tuple[MethodScores, ...]
    picture: Blob


class MethodCost(Frozen):
    """Costs of a method: means over the seeds; `artifact_bytes` without the base model."""

    name: str
    training: TrainingCost
    artifact_bytes: int


class Comparison(Frozen):
    metric: str
    num_rows: int
    seeds: tuple[int, ...]
    baselines: tuple[MethodScores, ...]
    methods: tuple[MethodScores, ...]
    costs: tuple[MethodCost, ...]
    folder: str
    seconds: float
