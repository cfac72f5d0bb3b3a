"""The gate of a candidate: evaluation on the test rows, evidence, verdict, report."""

import logging
from dataclasses import dataclass

from flows.chain.steps import CachedSteps
from flows.chain.train import TunedModel, evaluated
from schemas.errors import UsageError
from schemas.frozen import short
from schemas.recipe.gate import Gate
from schemas.recipe.problem import Problem
from schemas.recipe.recipe import Recipe
from schemas.records.approval import Grounds
from schemas.records.references import AnswersRef, ContractRef, CostsRef, CurvePoint, EvidenceRef, ReportRef, ScoresRef
from schemas.records.verdict import Verdict
from schemas.records.versions import Manifest
from tasks.baselines import answer_without_tuning
from tasks.gating import gate_candidate
from tasks.measuring import measure_costs
from tasks.reporting import make_report
from tasks.services.cache.records import count_records
from tasks.services.local.object_store import current_store
from tasks.services.registry.log import read_log
from tasks.services.registry.versions import list_versions, read_manifest, resolve

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """A model with its scores on the test rows; `seed_scores` are those of its seeds on the validation rows."""

    tuned: TunedModel
    scores: ScoresRef
    seed_scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class Gated:
    """A candidate's verdict; champion and its version are None where the alias was never set.

    verdicts_on_rows: verdicts on these test rows in all runs, with this one; the more there are, the less a pass means
    """

    candidate: Evaluated
    champion: Evaluated | None
    champion_version: str | None
    grounds: Grounds
    verdict: Verdict
    report: ReportRef
    verdicts_on_rows: int


def reference_version(recipe: Recipe, requested: str | None = None) -> str | None:
    """Return the version of the reference model; None when the promotion's alias was never set.

    `requested` is an alias or version that must exist. Raises UsageError.
    """
    promotion, store = recipe.promotion, current_store()
    against = requested if requested is not None else recipe.gate.against or promotion.alias
    version = resolve(store, promotion.model, against)
    if version is None and (requested is not None or against != promotion.alias):
        aliases = ", ".join(sorted(read_log(store, promotion.model).aliases)) or "none"
        raise UsageError(
            f"gate.against is {against!r}, neither an alias ({aliases}) nor a version of {promotion.model}."
        )
    return version


def manifest_of(recipe: Recipe, version: str) -> Manifest:
    """Raises StoreError."""
    return read_manifest(current_store(), recipe.promotion.model, version)


def check_version(recipe: Recipe, version: str, ours: Problem) -> None:
    """Raise UsageError for a version of the recipe's model with another problem than `ours`."""
    name = f"{recipe.promotion.model}@{short(version)}"
    check_comparable(ours, manifest_of(recipe, version).problem, name, "promotion.model")


def check_comparable(ours: Problem, theirs: Problem, name: str, remedy: str) -> None:
    """Raise UsageError where two problems differ in kind or labels."""
    if not are_comparable(ours, theirs):
        raise UsageError(
            f"problem is {ours.kind} with the labels {', '.join(ours.labels) or '(none)'}, but {name} is "
            f"{theirs.kind} with {', '.join(theirs.labels) or 'none'}: they cannot be compared. Name another {remedy}."
        )


def are_comparable(ours: Problem, theirs: Problem) -> bool:
    return (ours.kind, ours.labels) == (theirs.kind, theirs.labels)


def evaluated_version(name: str, recipe: Recipe, version: str, contract: ContractRef, steps: CachedSteps) -> Evaluated:
    return evaluated_model(name, TunedModel.of(manifest_of(recipe, version)), recipe, contract, steps)


def evaluated_model(
    name: str, tuned: TunedModel, recipe: Recipe, contract: ContractRef, steps: CachedSteps
) -> Evaluated:
    return Evaluated(tuned, evaluated(name, tuned, contract.test, recipe.evaluation, steps))


def gated(
    recipe: Recipe,
    candidate: Evaluated,
    version: str | None,
    contract: ContractRef,
    steps: CachedSteps,
    curve: tuple[CurvePoint, ...] = (),
) -> Gated:
    """Gate a candidate against the reference model `version`, and make the report."""
    champion = evaluated_version("evaluate-champion", recipe, version, contract, steps) if version else None
    evidence = EvidenceRef.of(
        candidate=candidate.scores,
        labels=candidate.scores.labels,
        champion=champion.scores if champion else None,
        champion_version=version,
        earlier=_earlier_scores(recipe, version, contract, steps) if version else {},
        baselines=baselines(recipe, recipe.gate.guard_rails, contract, steps),
        costs=_costs(recipe, candidate, champion, contract, steps) if champion else None,
        seed_scores=candidate.seed_scores,
    )
    verdict = steps.call("gate", gate_candidate, evidence=evidence, rows=contract.test, gate=recipe.gate)
    report = steps.call(
        "report",
        make_report,
        candidate=candidate.scores,
        champion=champion.scores if champion else None,
        verdict=verdict,
        rows=contract.test,
        curve=curve,
        problem=recipe.problem,
    )
    grounds = Grounds(evidence=evidence, rows=contract.test, gate=recipe.gate)
    num_verdicts = count_records("gate", rows=contract.test.digest)
    return Gated(candidate, champion, version, grounds, verdict, report, num_verdicts)


def earlier_champions(gate: Gate, model: str, alias: str, problem: Problem, reference: str) -> list[str]:
    """Return the versions that the alias has named before, for the no-creep rule. Raises StoreError.

    Deleted versions and those of another problem are left out.
    """
    store = current_store()
    if not gate.no_creep or gate.non_inferiority_margin is None:
        return []
    events = read_log(store, model).events
    named = dict.fromkeys(event.to_version for event in events if event.alias == alias)
    stored = set(list_versions(store, model))
    retired = [short(version) for version in named if version not in stored]
    if retired:
        log.info("%-18s not compared with retired champions: %s", "no-creep", ", ".join(retired))
    others = [version for version in named if version in stored and version != reference]
    return [version for version in others if are_comparable(problem, read_manifest(store, model, version).problem)]


def earlier_in(recipe: Recipe, reference: str) -> list[str]:
    """Return the earlier champions of a recipe's alias. Raises StoreError."""
    promotion = recipe.promotion
    return earlier_champions(recipe.gate, promotion.model, promotion.alias, recipe.problem, reference)


def _earlier_scores(recipe: Recipe, reference: str, contract: ContractRef, steps: CachedSteps) -> dict[str, ScoresRef]:
    return {
        version: evaluated_version(f"evaluate-{short(version)}", recipe, version, contract, steps).scores
        for version in earlier_in(recipe, reference)
    }


def baselines(recipe: Recipe, names: tuple[str, ...], contract: ContractRef, steps: CachedSteps) -> AnswersRef | None:
    if not names:
        return None
    rows = {"train": contract.train, "test": contract.test}
    return steps.call("baselines", answer_without_tuning, **rows, problem=recipe.problem, names=names)


def _costs(
    recipe: Recipe, candidate: Evaluated, champion: Evaluated, contract: ContractRef, steps: CachedSteps
) -> CostsRef | None:
    if not recipe.gate.budgets:
        return None
    ours, theirs = candidate.tuned, champion.tuned
    return steps.call(
        "measure",
        measure_costs,
        candidate=ours.model,
        champion=theirs.model,
        rows=contract.test,
        problem=ours.problem,
        tuning=ours.tuning,
        champion_problem=theirs.problem,
        champion_tuning=theirs.tuning,
    )
