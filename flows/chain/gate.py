"""Candidate against champion on the same rows: what finetuning and regating have in common."""

import logging
from dataclasses import dataclass

from flows.chain.forecast import Forecast
from flows.chain.steps import Chain
from flows.chain.train import Learning
from schemas.errors import UsageError
from schemas.recipe.problem import Problem
from schemas.recipe.recipe import Recipe
from schemas.recipe.tuning import Tuning
from schemas.records.outcome import Scores
from schemas.records.references import ContractRef, CurvePoint, ModelRef, ReportRef, ScoresRef
from schemas.records.verdict import Verdict
from schemas.records.versions import Manifest
from schemas.settings import Settings
from tasks.baselines import answer_without_tuning
from tasks.gating import gate_candidate
from tasks.measuring import measure_costs
from tasks.reporting import make_report
from tasks.services.cache.records import count_records
from tasks.services.local.object_store import open_store
from tasks.services.registry.log import read_log
from tasks.services.registry.versions import list_versions, read_manifest, resolve

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answerer:
    """A model that has answered the test rows; `seed_scores` are those of its training's seeds, if it had several."""

    model: ModelRef
    problem: Problem
    tuning: Tuning
    scores: ScoresRef
    seed_scores: tuple[float, ...] = ()


def scores_of(candidate: Answerer, champion: Answerer | None) -> Scores:
    """Scores as an outcome tells them."""
    return Scores(
        candidate=candidate.scores.scores,
        candidate_intervals=candidate.scores.intervals,
        champion=champion.scores.scores if champion else None,
        champion_intervals=champion.scores.intervals if champion else None,
    )


def check_same_question(ours: Problem, theirs: Problem, name: str, remedy: str) -> None:
    """Raises UsageError where two problems are of another kind or have other labels."""
    if (ours.kind, ours.labels) != (theirs.kind, theirs.labels):
        raise UsageError(
            f"problem is {ours.kind} with the labels {', '.join(ours.labels) or '(none)'}, but {name} is "
            f"{theirs.kind} with {', '.join(theirs.labels) or 'none'}: they cannot be compared. Name another {remedy}."
        )


class Judging:
    """The steps from two models to a verdict; `chain` runs them, or foretells what running would do."""

    def __init__(self, recipe: Recipe, learning: Learning, chain: Chain | Forecast) -> None:
        self.recipe, self.learning, self.chain, self.settings = recipe, learning, chain, Settings()

    def opponent(self, asked: str | None = None) -> str | None:
        """The version to compare with; None when the alias was never set. Raises UsageError.

        `asked` is an alias or a version that somebody named for this run, which has to exist.
        """
        promotion, store = self.recipe.promotion, open_store(self.settings)
        against = asked if asked is not None else self.recipe.gate.against or promotion.alias
        version = resolve(store, promotion.model, against)
        if version is None and (asked is not None or against != promotion.alias):
            aliases = ", ".join(sorted(read_log(store, promotion.model).aliases)) or "none"
            raise UsageError(
                f"gate.against is {against!r}, neither an alias ({aliases}) nor a version of {promotion.model}."
            )
        return version

    def check_problem(self, version: str, ours: Problem) -> None:
        """Refuse at once a version that answers another question than `ours`. Raises UsageError."""
        name = self.recipe.promotion.model
        check_same_question(ours, self.manifest(version).problem, f"{name}@{version[:12]}", "promotion.model")

    def manifest(self, version: str) -> Manifest:
        return read_manifest(open_store(self.settings), self.recipe.promotion.model, version)

    def find_earlier(self, opponent: str) -> list[str]:
        """The alias's earlier champions to compare with too, each with its manifest read. Raises StoreError."""
        gate = self.recipe.gate
        if not gate.no_creep or gate.non_inferiority_margin is None:
            return []
        earlier = (version for version in self._earlier_champions() if version != opponent)
        return [version for version in earlier if self._answers_the_question(version)]

    def ask(self, name: str, model: ModelRef, problem: Problem, tuning: Tuning, contract: ContractRef) -> Answerer:
        """Let a model answer the test rows."""
        return Answerer(model, problem, tuning, self.learning.evaluate(name, model, problem, tuning, contract.test))

    def ask_version(self, name: str, version: str, contract: ContractRef) -> Answerer:
        """Let a version answer as it is served, with the problem it was trained for and not the candidate's."""
        manifest = self.manifest(version)
        return self.ask(name, ModelRef.of(manifest.files), manifest.problem, manifest.tuning, contract)

    def ask_champion(self, version: str | None, contract: ContractRef) -> Answerer | None:
        """Let the version to compare with answer, where there is one."""
        if version is None:
            return None
        self.learning.lineage["champion"] = version
        return self.ask_version("evaluate-champion", version, contract)

    def gate(
        self, candidate: Answerer, champion: Answerer | None, opponent: str | None, contract: ContractRef
    ) -> Verdict:
        """Judge the answers, with what else the recipe asks for: earlier champions, baselines, what answers take."""
        gate, problem, take = self.recipe.gate, self.recipe.problem, self.chain.take
        baselines = costs = None
        if gate.guard_rails:
            baselines = take(
                "baselines",
                answer_without_tuning,
                train=contract.train,
                test=contract.test,
                problem=problem,
                names=gate.guard_rails,
            )
        if gate.budgets and champion:
            costs = take(
                "measure",
                measure_costs,
                candidate=candidate.model,
                champion=champion.model,
                rows=contract.test,
                problem=candidate.problem,
                tuning=candidate.tuning,
                champion_problem=champion.problem,
                champion_tuning=champion.tuning,
            )
        earlier = self._earlier(opponent, contract) if opponent else {}
        verdict: Verdict = take(
            "gate",
            gate_candidate,
            candidate=candidate.scores,
            champion=champion.scores if champion else None,
            champion_version=opponent,
            earlier_versions=tuple(earlier),
            earlier=tuple(earlier.values()),
            baselines=baselines,
            costs=costs,
            seed_scores=candidate.seed_scores,
            rows=contract.test,
            gate=gate,
        )
        return verdict

    def report(
        self,
        candidate: Answerer,
        champion: Answerer | None,
        verdict: Verdict,
        contract: ContractRef,
        curve: tuple[CurvePoint, ...] = (),
    ) -> ReportRef:
        """Draw the pictures and list the errors."""
        report: ReportRef = self.chain.take(
            "report",
            make_report,
            candidate=candidate.scores,
            champion=champion.scores if champion else None,
            verdict=verdict,
            rows=contract.test,
            curve=curve,
        )
        return report

    def count_verdicts(self, contract: ContractRef) -> int:
        """How often these test rows have decided, in whatever run: the more often, the less a pass means."""
        return count_records("gate", rows=contract.test.digest)

    def _earlier(self, opponent: str, contract: ContractRef) -> dict[str, ScoresRef]:
        """Scores of the alias's earlier champions that answer the same question, by version."""
        return {
            version: self.ask_version(f"evaluate-{version[:12]}", version, contract).scores
            for version in self.find_earlier(opponent)
        }

    def _earlier_champions(self) -> list[str]:
        """What the alias has named, without what a collection has taken since."""
        store, promotion = open_store(self.settings), self.recipe.promotion
        events = read_log(store, promotion.model).events
        named = dict.fromkeys(event.to_version for event in events if event.alias == promotion.alias)
        there = set(list_versions(store, promotion.model))
        retired = [version[:12] for version in named if version not in there]
        if retired:
            log.info("%-18s not asked of retired champions: %s", "no-creep", ", ".join(retired))
        return [version for version in named if version in there]

    def _answers_the_question(self, version: str) -> bool:
        ours, theirs = self.recipe.problem, self.manifest(version).problem
        return (ours.kind, ours.labels) == (theirs.kind, theirs.labels)
