"""What a candidate must show on the held-out rows."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.frozen import Frozen
from schemas.recipe.evaluation import LOGARITHMIC, Baseline, ComparedMetric


class Slices(Frozen):
    """Parts of the test rows that must not be given up for the mean."""

    by: tuple[Literal["label", "length"], ...] = Field(
        ("label", "length"), min_length=1, description="What cuts the rows: their label, their length in three parts."
    )
    margin: float = Field(gt=0, lt=1, description="A part that is shown to be worse by more is refused.")
    min_rows: int = Field(30, ge=2, description="Smaller parts are not judged.")


class Budgets(Frozen):
    """How many times as much as the champion a candidate may take; only what is named is asked."""

    latency_p50: float | None = Field(
        None, gt=0, title="Latency p50", description="Median seconds for one row, the tokenizer's included."
    )
    latency_p95: float | None = Field(None, gt=0, title="Latency p95", description="Their 95th percentile.")
    time_per_row: float | None = Field(
        None, gt=0, title="Time per row", description="Seconds a row in batches of 32: the inverse of the throughput."
    )
    memory: float | None = Field(None, gt=0, description="Bytes held at most while loading and answering a batch.")
    size: float | None = Field(None, gt=0, description="Bytes of the model's files.")


class Gate(Frozen):
    """What the candidate must show on the held-out rows; exactly one of margin and gain."""

    metric: ComparedMetric = Field(
        "macro_f1", description="The score that decides; unless given, the first that suits the problem."
    )
    at_least: float = Field(le=1, description="Floor for the score itself: 0 to 1, for a log-likelihood 0 or less.")
    against: str | None = Field(
        None,
        title="Against",
        description="An alias or a version of the promoted model; the promotion's alias unless given. "
        "Another one can be compared with, but not promoted over.",
    )
    non_inferiority_margin: float | None = Field(
        None,
        gt=0,
        lt=1,
        title="Non-inferiority margin",
        description="How much worse than the champion is still as good.",
    )
    required_gain: float | None = Field(
        None, ge=0, lt=1, title="Required gain", description="How much better than the champion it must be."
    )
    guard_rails: tuple[Baseline, ...] = Field(
        (),
        title="Guard rails",
        description="Better than these: commonest (the commonest answer), words (TF-IDF with logistic regression), "
        "entities (a dictionary of the training rows' entities).",
    )
    slices: Slices | None = Field(None, description="Parts of the rows that are judged for themselves.")
    no_creep: bool = Field(
        True, title="No creep", description="Hold the candidate against the best earlier champion too."
    )
    max_calibration_error: float | None = Field(
        None, gt=0, lt=1, title="Calibration error at most", description="Ceiling for the expected calibration error."
    )
    seeds_at_least: float | None = Field(
        None,
        le=1,
        title="Seeds at least",
        description="Floor for the lower bound of the mean over training.seeds, of the score on the validation rows.",
    )
    budgets: Budgets | None = Field(None, description="Time, memory and size, measured beside the champion's.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of each one-sided bound.")
    resamples: int = Field(10_000, ge=1_000, le=1_000_000, description="Bootstrap resamples.")
    seed: int = Field(0, ge=0, description="Of the bootstrap.")

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
