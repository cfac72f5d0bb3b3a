"""How a flow run ended: what `tunegate run --json` prints."""

from typing import Literal

from schemas.frozen import Frozen
from schemas.references import Finding
from schemas.verdict import Verdict

Ending = Literal["promoted", "unchanged", "passed", "refused", "undecidable", "data-refused"]
StepState = Literal["ran", "cached", "unchanged", "skipped", "failed", "interrupted"]

EXIT_CODES: dict[Ending, int] = {
    "promoted": 0,
    "unchanged": 0,
    "passed": 0,
    "refused": 1,
    "undecidable": 3,
    "data-refused": 4,
}


class StepRecord(Frozen):
    name: str
    state: StepState
    seconds: float
    key: str | None


class PlannedStep(Frozen):
    """What a step would do; pending ones depend on a step that would run first."""

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
    verdict: Verdict | None
    scores: Scores | None
    findings: tuple[Finding, ...]
    steps: tuple[StepRecord, ...]
    resumed_from_step: int | None
    report: str | None
    flow_run_id: str
    tracking_group: str
    seconds: float

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]
