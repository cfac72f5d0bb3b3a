"""The chain: from a recipe to a promoted model, or to the reasons why not."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from prefect import flow
from prefect.runtime import flow_run

from flows.chain.forecast import Forecast, Missed
from flows.chain.gate import Answerer, Judging, scores_of
from flows.chain.origin import tracking_of
from flows.chain.publish import publish
from flows.chain.steps import Chain
from flows.chain.train import Learning, training_steps
from schemas.errors import Conflict, UsageError
from schemas.recipe.recipe import Recipe
from schemas.records.approval import Standing
from schemas.records.outcome import ENDINGS, Ending, ModelVersion, Outcome, PlannedStep, Seeds
from schemas.records.references import ContractRef, CurvePoint, ReportRef
from schemas.records.steps import Cost
from schemas.records.verdict import Verdict
from schemas.records.versions import Event, Manifest, ModelLog
from schemas.settings import Settings
from tasks.approval import make_proposal, propose_version
from tasks.loading import load_version
from tasks.methods.reports.card import render_card
from tasks.promotion import make_event, make_manifest, promote_version
from tasks.services.local.object_store import open_store
from tasks.services.registry.doctor import check_store
from tasks.services.registry.log import read_log
from tasks.services.registry.signatures import check_keys

MAX_ROUNDS = 5
SHORT = 12
BEFORE_TRAINING = ("ingest", "validate", "split", "augment", "tokenize")
AFTER_TRAINING = ("evaluate", "gate", "report", "load")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a run of the chain came to; fields that it did not reach are None."""

    ending: Ending
    contract: ContractRef
    version: str | None = None
    verdict: Verdict | None = None
    candidate: Answerer | None = None
    champion: Answerer | None = None
    report: ReportRef | None = None
    seeds: Seeds | None = None
    approval: Standing | None = None
    taken_back: Event | None = None


class Finetuning:
    """The chain's steps in their order; `chain` runs them, or foretells what running would do."""

    def __init__(self, recipe: Recipe, folder: Path, chain: Chain | Forecast, reason: str = "") -> None:
        self.recipe, self.chain, self.reason, self.settings = recipe, chain, reason, Settings()
        self.learning = Learning(recipe, folder, chain)
        self.judging = Judging(recipe, self.learning, chain)
        self.lineage = self.learning.lineage
        self.verdicts_on_rows: int | None = None
        self.opponent: str | None = None
        self.by_hand = False

    def run_version(self, promote: bool, version: str) -> Result:
        """Judge and promote a version that exists and that somebody has named, in place of one that is trained now."""
        self.by_hand = True
        self._check(promote)
        self.judging.check_problem(version, self.recipe.problem)
        contract = self.learning.check()
        if contract.refused:
            return Result("data-refused", contract)
        self.lineage["version"] = version
        return self._judge(promote, version, contract, (), self.judging.ask_version("evaluate", version, contract))

    def run(self, promote: bool) -> Result:
        """Train, judge and promote."""
        recipe, learning, judging = self.recipe, self.learning, self.judging
        learning.pin()
        self._check(promote)
        contract = learning.check()
        if contract.refused:
            for name in steps_of(recipe)[2:]:
                self.chain.note(name, "skipped")
            return Result("data-refused", contract)
        learning.encode()
        trained, training, seeds = learning.train_best()
        chosen = recipe.model_copy(update={"training": training})
        manifest = make_manifest(chosen, trained, learning.pretrained, learning.rows, learning.validation)
        self.chain.commit(manifest, trained.installed)
        self.lineage |= {"model files": trained.digest, "version": manifest.version}
        candidate = judging.ask("evaluate", trained, recipe.problem, recipe.tuning, contract)
        if seeds:
            candidate = replace(candidate, seed_scores=tuple(run.score for run in seeds.runs))
        return replace(self._judge(promote, manifest.version, contract, trained.curve, candidate), seeds=seeds)

    def _judge(
        self, promote: bool, version: str, contract: ContractRef, curve: tuple[CurvePoint, ...], candidate: Answerer
    ) -> Result:
        """Compare with the champion and promote; whoever loses the race for the log compares again."""
        recipe, judging = self.recipe, self.judging
        for _ in range(MAX_ROUNDS):
            registry_log = read_log(open_store(self.settings), recipe.promotion.model)
            if registry_log.aliases.get(recipe.promotion.alias) == version:
                for name in (*AFTER_TRAINING[1:], last_step_of(recipe)):
                    self.chain.note(name, "unchanged")
                return Result("unchanged", contract, version, None, candidate)
            opponent = self.opponent = judging.opponent()
            champion = judging.ask_champion(opponent, contract)
            verdict = judging.gate(candidate, champion, opponent, contract)
            self.verdicts_on_rows = judging.count_verdicts(contract)
            report = judging.report(candidate, champion, verdict, contract, curve)
            passed = Result("promoted", contract, version, verdict, candidate, champion, report)
            if verdict.decision != "pass" or not promote:
                return self._stop(replace(passed, ending=ENDINGS[verdict.decision]))
            taken_back = registry_log.taken_back(recipe.promotion.alias, version)
            if taken_back and not self.by_hand:
                return self._stop(replace(passed, ending="rejected", taken_back=taken_back))
            self._load(candidate, contract)
            self._describe(version, candidate, verdict, contract)
            try:
                if recipe.promotion.approval:
                    return self._propose(registry_log, version, verdict, passed)
                self._promote(
                    make_event(registry_log, recipe.promotion.alias, version, verdict, contract.test, self.reason),
                    verdict,
                )
            except Conflict as conflict:
                log.warning("%s The candidate is compared with the new champion.", conflict)
                continue
            return passed
        raise Conflict(f"{recipe.promotion.model}: others promoted {MAX_ROUNDS} times in a row meanwhile. Run again.")

    def _stop(self, result: Result) -> Result:
        """Leave out what only a promotion needs."""
        self.chain.note("load", "skipped")
        self.chain.note(last_step_of(self.recipe), "skipped")
        return result

    def _check(self, promote: bool) -> None:
        """Refuse at once what could only be refused after training otherwise. Raises UsageError, StoreError."""
        check_keys(self.settings)
        promotion, against = self.recipe.promotion, self.recipe.gate.against
        if promote and against not in (None, promotion.alias):
            raise UsageError(
                f"gate.against is {against!r}, but promotion.alias is {promotion.alias!r}: a candidate is promoted "
                "over the model it was compared with. Leave gate.against out, or run with --no-promote."
            )
        version = self.judging.opponent()
        if version is not None:
            self.judging.check_problem(version, self.recipe.problem)
            # Those without a signature, or damaged, are told now.
            self.judging.find_earlier(version)

    def _load(self, candidate: Answerer, contract: ContractRef) -> None:
        """See that what services will fetch answers as it did when it was judged."""
        self.chain.take(
            "load",
            load_version,
            model=candidate.model,
            problem=candidate.problem,
            tuning=candidate.tuning,
            rows=contract.test,
            scores=candidate.scores,
        )

    def _describe(self, version: str, candidate: Answerer, verdict: Verdict, contract: ContractRef) -> None:
        """Write the card of what is about to be promoted."""
        licence = self.recipe.data.test.licence

        def card(manifest: Manifest) -> str:
            return render_card(manifest, verdict, candidate.scores, contract.test, licence)

        self.chain.describe(self.recipe.promotion.model, version, verdict, card)

    def _promote(self, event: Event, verdict: Verdict) -> None:
        name = self.recipe.promotion.model
        self.chain.act("promote", promote_version, model=name, event=event, verdict=verdict)

    def _propose(self, registry_log: ModelLog, version: str, verdict: Verdict, passed: Result) -> Result:
        """Leave the alias to a person, who has said no already where the same was proposed before."""
        promotion, rows = self.recipe.promotion, passed.contract.test
        proposal = make_proposal(
            registry_log, promotion.model, promotion.alias, version, verdict, rows, str(flow_run.id)
        )
        standing: Standing = self.chain.act("propose", propose_version, proposal=proposal, verdict=verdict)
        if standing.state == "overtaken":
            raise Conflict(f"{promotion.model}@{promotion.alias}: somebody else promoted while this was proposed.")
        if standing.proposal != proposal:
            log.info("The same was proposed before; it is not proposed again.")
        return replace(passed, ending="rejected" if standing.state == "rejected" else "proposed", approval=standing)


def steps_of(recipe: Recipe) -> tuple[str, ...]:
    """The steps of a run in their order, without the champion's evaluation, which not every run has."""
    return (*BEFORE_TRAINING, *training_steps(recipe), *AFTER_TRAINING, last_step_of(recipe))


def last_step_of(recipe: Recipe) -> str:
    """What a run does with a candidate that passes."""
    return "propose" if recipe.promotion.approval else "promote"


@flow(name="finetune", flow_run_name="{recipe.name}", persist_result=False)
def finetune(
    recipe: Recipe, folder: str = ".", promote: bool = True, version: str | None = None, reason: str = ""
) -> Outcome:
    """Fine-tune, judge and promote a model as the recipe says.

    Args:
        recipe: What to do.
        folder: Where the recipe's relative paths start.
        promote: Whether a candidate that passes takes the alias.
        version: A version of the recipe's model to judge, in place of one that is trained now.
        reason: What the log will tell beside what the gate has found.
    """
    begun, settings, flow_run_id = perf_counter(), Settings(), str(flow_run.id)
    tracking = tracking_of(recipe, settings)
    chain = Chain(tracking, recipe.name)
    if promote and not recipe.promotion.approval:
        # The promotion does it too, as an approval does; here it costs no training.
        check_store(open_store(settings), settings.home)
    finetuning = Finetuning(recipe, Path(folder).resolve(), chain, reason)
    result = finetuning.run_version(promote, version) if version else finetuning.run(promote)
    promotion, version = recipe.promotion, result.version
    page = settings.home / "reports" / flow_run_id / "report.html"
    outcome = Outcome(
        outcome=result.ending,
        model=ModelVersion(name=promotion.model, version=version, alias=promotion.alias) if version else None,
        candidate=f"{promotion.model}@{version[:SHORT]}" if version else None,
        against=f"{promotion.model}@{finetuning.opponent[:SHORT]}" if finetuning.opponent else None,
        verdict=result.verdict,
        scores=scores_of(result.candidate, result.champion) if result.candidate else None,
        findings=result.contract.findings,
        seeds=result.seeds,
        approval=result.approval,
        taken_back=result.taken_back,
        verdicts_on_rows=finetuning.verdicts_on_rows,
        steps=tuple(chain.records),
        cost=Cost.of(chain.records, settings),
        resumed_from_step=chain.resumed_from_step,
        report=str(page),
        flow_run_id=flow_run_id,
        tracking_group=tracking.group,
        seconds=perf_counter() - begun,
    )
    return publish(outcome, recipe, result.report, finetuning.lineage, tracking, page)


def foresee(recipe: Recipe, folder: Path, promote: bool = True) -> list[PlannedStep]:
    """Tell what `finetune` would do, step by step, without doing it. Raises RecipeError, StoreError."""
    forecast = Forecast(recipe.name)
    try:
        Finetuning(recipe, folder.resolve(), forecast).run(promote)
    except Missed:
        known = {step.name for step in forecast.steps}
        return forecast.steps + [
            PlannedStep(name=name, state="pending") for name in steps_of(recipe) if name not in known
        ]
    return forecast.steps
