"""Outcome of a flow run, as printed by `tunegate run --json`."""

import statistics
from typing import Literal

from pydantic import Field, computed_field

from schemas.frozen import Frozen, short
from schemas.records.approval import Standing
from schemas.records.references import Finding
from schemas.records.steps import Cost, StepRecord
from schemas.records.verdict import Decision, Verdict
from schemas.records.versions import Event

Ending = Literal["promoted", "unchanged", "proposed", "passed", "refused", "rejected", "undecidable", "data-refused"]

EXIT_CODES: dict[Ending, int] = {
    "promoted": 0,
    "unchanged": 0,
    "passed": 0,
    # The run is complete; a scheduler must not retry it.
    "proposed": 0,
    "refused": 1,
    # A rejection by a person counts like one by the gate.
    "rejected": 1,
    "undecidable": 3,
    "data-refused": 4,
}

ENDINGS: dict[Decision, Ending] = {"pass": "passed", "refuse": "refused", "undecidable": "undecidable"}


class SeedRun(Frozen):
    seed: int
    score: float
    is_degenerate: bool | None


class Seeds(Frozen):
    """The same training with several seeds, scored on the validation rows by the gate's metric."""

    metric: str
    runs: tuple[SeedRun, ...] = Field(min_length=2)

    @property
    def scores(self) -> tuple[float, ...]:
        return tuple(run.score for run in self.runs)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def chosen(self) -> int:
        """The seed of the best run, the first in a tie."""
        return max(self.runs, key=lambda run: run.score).seed

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean(self) -> float:
        return statistics.mean(run.score for run in self.runs)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def standard_deviation(self) -> float:
        return statistics.stdev(run.score for run in self.runs)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def degenerate_share(self) -> float | None:
        known = [run.is_degenerate for run in self.runs if run.is_degenerate is not None]
        return statistics.mean(known) if known else None

    @property
    def sentence(self) -> str:
        share = self.degenerate_share
        degenerate = "" if share is None else f", {share:.0%} of the runs degenerate"
        return (
            f"{self.metric} on the validation rows {self.mean:.3f} (sd {self.standard_deviation:.3f}) over "
            f"{len(self.runs)} seeds{degenerate}; the candidate is seed {self.chosen}'s"
        )


class PlannedStep(Frozen):
    """The forecast of a step; pending ones depend on a step that would run first."""

    name: str
    state: Literal["hit", "miss", "pending"]
    changed: tuple[str, ...] = ()


class ModelVersion(Frozen):
    name: str
    version: str
    alias: str


class Scores(Frozen):
    candidate: dict[str, float]
    champion: dict[str, float] | None
    candidate_intervals: dict[str, tuple[float, float]]
    champion_intervals: dict[str, tuple[float, float]] | None


class Outcome(Frozen):
    outcome: Ending
    model: ModelVersion | None
    candidate: str | None = Field(None, description="The gated model: NAME@VERSION, or the reference given.")
    against: str | None = Field(None, description="The version of the reference model, None without one.")
    verdict: Verdict | None
    scores: Scores | None
    findings: tuple[Finding, ...]
    seeds: Seeds | None = None
    approval: Standing | None = Field(
        None, description="The proposal of a passing candidate, where a person must approve it."
    )
    taken_back: Event | None = Field(None, description="The earlier rollback of the alias from this version.")

    verdicts_on_rows: int | None = Field(None, description="Verdicts on these test rows so far, including this one.")
    steps: tuple[StepRecord, ...]
    cost: Cost | None = Field(None, description="Cost of the steps computed in this run.")
    resumed_from_step: int | None
    report: str | None
    flow_run_id: str
    tracking_group: str
    seconds: float

    @property
    def said(self) -> str | None:
        """The rollback or approval, in words, that concerns a candidate that passed."""
        if self.taken_back and self.model:
            event, model = self.taken_back, self.model
            return (
                f"{event.by} rolled {event.alias} back from it at {event.at:%Y-%m-%d %H:%M:%S} UTC: {event.reason}. To "
                f"promote it anyway: tunegate promote {model.name} {short(model.version)} --recipe RECIPE"
            )
        return self.approval.sentence if self.approval else None

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]
