"""The gate: requirements on a candidate, checked on the held-out rows."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.frozen import LARGEST, Frozen, Seed
from schemas.recipe.evaluation import LOGARITHMIC, Baseline, ComparedMetric


class Slices(Frozen):
    """Slices of the test rows, none of which may get worse for the sake of the mean."""

    by: tuple[Literal["label", "length"], ...] = Field(
        ("label", "length"), min_length=1, description="Slices by label, or by thirds of the length."
    )
    margin: float = Field(gt=0, lt=1, description="A slice shown to be worse by more is refused.")
    min_rows: int = Field(30, ge=2, le=LARGEST, description="Smaller slices are not tested.")


class Budgets(Frozen):
    """Limits on the candidate's costs as multiples of the champion's; costs without a limit are not checked."""

    latency_p50: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        title="Latency p50",
        description="Median seconds for one row, including tokenization.",
    )
    latency_p95: float | None = Field(
        None, gt=0, allow_inf_nan=False, title="Latency p95", description="Their 95th percentile."
    )
    time_per_row: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        title="Time per row",
        description="Seconds per row in batches of 32: the inverse of the throughput.",
    )
    memory: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Peak bytes of loading the model and predicting a batch."
    )
    size: float | None = Field(None, gt=0, allow_inf_nan=False, description="Bytes of the model's files.")


class Gate(Frozen):
    """Requirements on the candidate, checked on the held-out rows; exactly one of margin and gain."""

    metric: ComparedMetric = Field(
        "macro_f1", description="The score that decides; by default the first that suits the problem."
    )
    at_least: float = Field(
        le=1, allow_inf_nan=False, description="Floor for the score: 0 to 1, for a log-likelihood 0 or less."
    )
    against: str | None = Field(
        None,
        title="Against",
        description="The reference model: an alias or a version of the promoted model; null: the promotion's alias. "
        "Comparison with another one allows no promotion.",
    )
    non_inferiority_margin: float | None = Field(
        None,
        gt=0,
        lt=1,
        title="Non-inferiority margin",
        description="Largest tolerated loss against the champion.",
    )
    required_gain: float | None = Field(
        None, ge=0, lt=1, title="Required gain", description="Smallest required gain over the champion."
    )
    guard_rails: tuple[Baseline, ...] = Field(
        (),
        title="Guard rails",
        description="Baselines to beat: commonest (the majority class), words (TF-IDF with logistic regression), "
        "entities (a dictionary of the training rows' entities).",
    )
    slices: Slices | None = Field(None, description="Slices of the rows that are compared separately.")
    no_creep: bool = Field(
        True, title="No creep", description="Compare the candidate with the best earlier champion too."
    )
    max_calibration_error: float | None = Field(
        None, gt=0, lt=1, title="Calibration error at most", description="Ceiling for the expected calibration error."
    )
    seeds_at_least: float | None = Field(
        None,
        le=1,
        allow_inf_nan=False,
        title="Seeds at least",
        description="Floor for the lower bound of the mean over training.seeds, of the score on the validation rows.",
    )
    budgets: Budgets | None = Field(None, description="Time, memory and size, measured beside the champion's.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of each one-sided bound.")
    resamples: int = Field(10_000, ge=1_000, le=1_000_000, description="Bootstrap resamples.")
    seed: Seed = Field(0, description="Seed of the bootstrap.")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.non_inferiority_margin is None) == (self.required_gain is None):
            raise ValueError("give exactly one of non_inferiority_margin and required_gain")
        return self

    @model_validator(mode="after")
    def _floor_is_a_score(self) -> Self:
        if self.metric in LOGARITHMIC and self.at_least > 0:
            raise ValueError(f"at_least is {self.at_least}; {self.metric} is 0 or less")
        if self.metric not in LOGARITHMIC and self.at_least < 0:
            raise ValueError(f"at_least is {self.at_least}; {self.metric} is 0 or more")
        return self
