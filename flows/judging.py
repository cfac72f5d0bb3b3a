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
from tasks.baselines import answer_without_tuning
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

    def gate(
        self, candidate: ScoresRef, champion: ScoresRef | None, opponent: str | None, contract: ContractRef
    ) -> Verdict:
        """Judge the answers, with those of earlier champions and of baselines where the recipe asks for them."""
        gate, problem = self.recipe.gate, self.recipe.problem
        baselines = None
        if gate.guard_rails:
            baselines = self.chain.take(
                "baselines",
                answer_without_tuning,
                train=contract.train,
                test=contract.test,
                problem=problem,
                names=gate.guard_rails,
            )
        verdict: Verdict = self.chain.take(
            "gate",
            gate_candidate,
            candidate=candidate,
            champion=champion,
            champion_version=opponent,
            earlier=self._earlier(opponent, contract) if champion else (),
            baselines=baselines,
            rows=contract.test,
            gate=gate,
        )
        return verdict

    def _earlier(self, opponent: str | None, contract: ContractRef) -> tuple[tuple[str, ScoresRef], ...]:
        """Scores of the alias's earlier champions that answer the same question."""
        gate, promotion = self.recipe.gate, self.recipe.promotion
        if not gate.no_creep or gate.non_inferiority_margin is None:
            return ()
        events = read_log(open_store(self.settings), promotion.model).events
        versions = dict.fromkeys(event.to_version for event in events if event.alias == promotion.alias)
        found: list[tuple[str, ScoresRef]] = []
        for version in versions:
            manifest = self.manifest(version)
            if version == opponent or (manifest.problem.kind, manifest.problem.labels) != self._question:
                continue
            model, problem, tuning = ModelRef.of(manifest.files), manifest.problem, manifest.tuning
            scores = self.learning.evaluate(f"evaluate-{version[:12]}", model, problem, tuning, contract.test)
            found.append((version, scores))
        return tuple(found)

    @property
    def _question(self) -> tuple[str, tuple[str, ...]]:
        return self.recipe.problem.kind, self.recipe.problem.labels
