"""Candidate against champion on the same rows: what finetuning and regating have in common."""

from flows.chain import Chain
from flows.learning import Learning
from flows.plan import Forecast
from schemas.errors import UsageError
from schemas.outcome import Scores
from schemas.problems import Problem
from schemas.recipe import Recipe
from schemas.references import ContractRef, ModelRef, ScoresRef
from schemas.settings import Settings
from schemas.verdict import Verdict
from schemas.versions import Manifest
from tasks.gating import gate_candidate
from tasks.services.embedded import open_store
from tasks.services.registry import read_log, read_manifest, resolve


def scores_of(candidate: ScoresRef, champion: ScoresRef | None) -> Scores:
    """Scores as an outcome tells them."""
    return Scores(
        candidate=candidate.scores,
        candidate_intervals=candidate.intervals,
        champion=champion.scores if champion else None,
        champion_intervals=champion.intervals if champion else None,
    )


class Judging:
    """The steps from two models to a verdict; `chain` runs them, or foretells what running would do."""

    def __init__(self, recipe: Recipe, learning: Learning, chain: Chain | Forecast) -> None:
        self.recipe, self.learning, self.chain, self.settings = recipe, learning, chain, Settings()

    def opponent(self) -> str | None:
        """The version to compare with; None when the alias was never set. Raises UsageError."""
        promotion, store = self.recipe.promotion, open_store(self.settings)
        against = self.recipe.gate.against or promotion.alias
        version = resolve(store, promotion.model, against)
        if version is None and against != promotion.alias:
            aliases = ", ".join(sorted(read_log(store, promotion.model).aliases)) or "none"
            raise UsageError(
                f"gate.against is {against!r}, neither an alias ({aliases}) nor a version of {promotion.model}."
            )
        return version

    def check_problem(self, version: str, ours: Problem) -> None:
        """Refuse at once a version that answers another question than `ours`. Raises UsageError."""
        theirs, name = self.manifest(version).problem, self.recipe.promotion.model
        if (ours.kind, ours.labels) != (theirs.kind, theirs.labels):
            raise UsageError(
                f"problem is {ours.kind} with the labels {', '.join(ours.labels) or '(none)'}, but "
                f"{name}@{version[:12]} is {theirs.kind} with {', '.join(theirs.labels) or 'none'}: "
                "they cannot be compared. Name another promotion.model."
            )

    def manifest(self, version: str) -> Manifest:
        return read_manifest(open_store(self.settings), self.recipe.promotion.model, version)

    def evaluate_version(self, version: str | None, contract: ContractRef) -> ScoresRef | None:
        """Score a version as it is served, with the problem it was trained for and not the candidate's."""
        if version is None:
            return None
        manifest = self.manifest(version)
        self.learning.lineage["champion"] = version
        model = ModelRef.of(manifest.files)
        return self.learning.evaluate("evaluate-champion", model, manifest.problem, manifest.tuning, contract.test)

    def gate(self, candidate: ScoresRef, champion: ScoresRef | None, opponent: str | None) -> Verdict:
        """Judge the answers."""
        verdict: Verdict = self.chain.take(
            "gate",
            gate_candidate,
            candidate=candidate,
            champion=champion,
            champion_version=opponent,
            gate=self.recipe.gate,
        )
        return verdict
