"""Promotion of a candidate: gate, load, promote or propose; gate again if the champion has changed meanwhile."""

import logging
from dataclasses import dataclass, replace

from prefect.runtime import flow_run

from flows.chain import gate, prepare, train
from flows.chain.approval import find_earlier
from flows.chain.gate import Evaluated, Gated
from flows.chain.prepare import Inputs
from flows.chain.steps import CachedSteps, Steps
from flows.chain.train import TunedModel
from schemas.errors import Conflict, Corrupt, UsageError
from schemas.frozen import short
from schemas.recipe.recipe import Recipe
from schemas.records.approval import Proposal, Standing
from schemas.records.outcome import ENDINGS, Ending
from schemas.records.references import ContractRef, CurvePoint
from schemas.records.versions import Event, Manifest, ModelLog
from schemas.settings import read_settings
from tasks.approval import make_proposal, propose_version
from tasks.loading import load_version
from tasks.methods.reports.card import render_card
from tasks.promotion import make_event, promote_version
from tasks.services.local.object_store import current_store
from tasks.services.registry.log import read_log
from tasks.services.registry.signatures import check_keys

MAX_ROUNDS = 5
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contender:
    """An evaluated version of the registry, candidate for the alias; the report shows the learning curve.

    seeds: the models of all seeds, if there are several
    is_named: named by a person for this run, so that an earlier rollback from it does not forbid it
    """

    version: str
    model: Evaluated
    seeds: tuple[TunedModel, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    is_named: bool = False
    reason: str = ""

    def name(self, recipe: Recipe) -> str:
        return f"{recipe.promotion.model}@{short(self.version)}"


@dataclass(frozen=True)
class Decided:
    """The decision about a contender; `gated` is None where it is the champion already."""

    ending: Ending
    gated: Gated | None = None
    approval: Standing | None = None
    taken_back: Event | None = None


def steps_of(recipe: Recipe) -> tuple[str, ...]:
    return ("gate", "report", "load", "propose" if recipe.promotion.approval else "promote")


def check_promotable(recipe: Recipe, promote: bool) -> None:
    """Check before training that a promotion is possible. Raises UsageError, StoreError."""
    check_keys(read_settings())
    promotion, against = recipe.promotion, recipe.gate.against
    if promote and against not in (None, promotion.alias):
        raise UsageError(
            f"gate.against is {against!r}, but promotion.alias is {promotion.alias!r}: a candidate is promoted "
            "over the model it was compared with. Leave gate.against out, or run with --no-promote."
        )
    version = gate.reference_version(recipe)
    if version is not None:
        gate.check_version(recipe, version, recipe.problem)
        # Reads their manifests, so that a damaged or unsigned one stops the run here.
        gate.earlier_in(recipe, version)


def until_undisputed(
    recipe: Recipe, inputs: Inputs, contender: Contender, contract: ContractRef, steps: Steps, promote: bool
) -> Decided:
    """Gate and promote; a contender that loses the race for the log is gated against the new champion.

    Raises Conflict after 5 rounds, Corrupt where only records of the cache make it pass.
    """
    model, alias = recipe.promotion.model, recipe.promotion.alias
    for _ in range(MAX_ROUNDS):
        registry_log = read_log(current_store(), model)
        if registry_log.aliases.get(alias) == contender.version:
            steps.note_from("gate", "unchanged")
            return Decided("unchanged")
        gated = gate.gated(recipe, contender.model, gate.reference_version(recipe), contract, steps, contender.curve)
        if gated.verdict.decision != "pass" or not promote:
            steps.note_from("load", "skipped")
            return Decided(ENDINGS[gated.verdict.decision], gated)
        taken_back = registry_log.taken_back(alias, contender.version)
        if taken_back and not contender.is_named:
            steps.note_from("load", "skipped")
            return Decided("rejected", gated, taken_back=taken_back)
        _load(contender.model, contract, steps)
        earlier = find_earlier(recipe.promotion, contender.version, gated, registry_log)
        if earlier is None:
            gated = _confirmed(recipe, inputs, contender, contract, gated, steps)
        _describe(recipe, contender, gated, contract, steps)
        try:
            if recipe.promotion.approval:
                return _propose(recipe, contender, gated, registry_log, earlier, steps)
            event = make_event(registry_log, alias, contender.version, gated.verdict, contract.test, contender.reason)
            steps.act("promote", promote_version, model=model, event=event, verdict=gated.verdict)
            return Decided("promoted", gated)
        except Conflict as conflict:
            log.warning("%s The candidate is gated against the new champion.", conflict)
    raise Conflict(f"{model}: other runs promoted {MAX_ROUNDS} times in a row meanwhile. Run again.")


def _load(candidate: Evaluated, contract: ContractRef, steps: CachedSteps) -> None:
    """Check that a version that passed predicts as it did when it was evaluated. Raises Corrupt."""
    steps.call("load", load_version, rows=contract.test, scores=candidate.scores, **vars(candidate.tuned))


def _confirmed(
    recipe: Recipe, inputs: Inputs, contender: Contender, contract: ContractRef, gated: Gated, steps: Steps
) -> Gated:
    """Decide again without records, from the source files and the versions' files. Raises Corrupt unless it passes.

    What this run computed itself is not repeated. Trainings are not either: a model is gated by its predictions.
    """
    again = steps.again()
    found = prepare.validated(recipe, inputs, again)
    if found != contract:
        raise _unconfirmed(recipe, contender, "its source files, read again, have other rows", again.differing)
    candidate = gate.evaluated_model("evaluate", contender.model.tuned, recipe, found, again)
    if contender.seeds:
        validation = prepare.split_off(recipe, found, again).validation
        seeds = train.score_seeds(recipe, contender.seeds, validation, again)
        candidate = replace(candidate, seed_scores=seeds.scores)
    confirmed = gate.gated(recipe, candidate, gated.champion_version, found, again, contender.curve)
    if confirmed.verdict.decision != "pass":
        reasons = [rule.reason for rule in confirmed.verdict.rules if rule.decision != "pass"]
        what = f"its verdict, computed again, is {confirmed.verdict.decision}: {'; '.join(reasons)}"
        raise _unconfirmed(recipe, contender, what, again.differing)
    _load(candidate, found, again)
    return confirmed


def _unconfirmed(recipe: Recipe, contender: Contender, what: str, differing: list[str]) -> Corrupt:
    return Corrupt(
        f"{contender.name(recipe)} is not promoted: it passed by records of the cache, but {what}. These records were "
        "altered, or another machine rounds or measures differently: "
        f"{', '.join(differing) or 'none of them is left'}. Delete them and run again."
    )


def _describe(recipe: Recipe, contender: Contender, gated: Gated, contract: ContractRef, steps: Steps) -> None:
    """Attach the model card of a version that passed."""
    scores = gated.candidate.scores

    def card(manifest: Manifest) -> str:
        return render_card(manifest, gated.verdict, scores, contract.test, recipe.data.test.licence)

    steps.describe(recipe.promotion.model, contender.version, gated.verdict, card)


def _propose(
    recipe: Recipe, contender: Contender, gated: Gated, registry_log: ModelLog, earlier: Proposal | None, steps: Steps
) -> Decided:
    """Propose a version that passed for approval, unless an earlier proposal stands.

    Raises Conflict when the alias has moved since the log was read.
    """
    promotion, verdict, run = recipe.promotion, gated.verdict, str(flow_run.id)
    subject = (registry_log, promotion.model, promotion.alias, contender.version, verdict, gated.grounds, run)
    proposal = earlier or make_proposal(*subject)
    standing = steps.act("propose", propose_version, proposal=proposal, verdict=verdict)
    if standing.state == "overtaken":
        raise Conflict(f"{promotion.model}@{promotion.alias}: another version was promoted before this proposal.")
    if earlier or standing.proposal != proposal:
        log.info("This candidate was proposed before; it is not proposed again.")
    return Decided("rejected" if standing.state == "rejected" else "proposed", gated, approval=standing)
