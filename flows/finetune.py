"""The chain: from a recipe to a promoted model, or to the reasons why not."""

import logging
from pathlib import Path
from time import perf_counter

from prefect import flow
from prefect.runtime import flow_run

from flows.chain import Chain
from flows.publishing import publish
from schemas.errors import Conflict, UsageError
from schemas.learning import Problem
from schemas.outcome import Ending, ModelVersion, Outcome, Scores
from schemas.recipe import Recipe
from schemas.references import (
    ContractRef,
    ModelRef,
    PretrainedRef,
    ReportRef,
    RowsRef,
    ScoresRef,
    SplitRef,
    TrainedRef,
)
from schemas.settings import Settings
from schemas.verdict import Verdict
from schemas.versions import Event, Manifest
from tasks.augmentation import augment_rows
from tasks.evaluation import evaluate_model
from tasks.gating import gate_candidate
from tasks.ingestion import ingest_rows
from tasks.pinning import pin_pretrained, pin_sources
from tasks.promotion import add_candidate, make_event, promote_version
from tasks.reporting import make_report
from tasks.services.embedded import open_store
from tasks.services.registry import read_log, read_manifest, resolve
from tasks.services.tracking import TrackingContext
from tasks.splitting import split_rows
from tasks.tokenization import tokenize_rows
from tasks.training import train_model
from tasks.validation import validate_rows

MAX_ROUNDS = 5
AFTER_CONTRACT = ("split", "augment", "tokenize", "train", "evaluate", "gate", "report", "promote")
log = logging.getLogger(__name__)


class Finetuning:
    """One run of the chain and what it has come to so far."""

    def __init__(self, recipe: Recipe, folder: Path, settings: Settings, flow_run_id: str) -> None:
        self.recipe, self.folder, self.settings, self.flow_run_id = recipe, folder, settings, flow_run_id
        self.begun = perf_counter()
        context = TrackingContext(
            project=recipe.tracking.project, group=flow_run_id, folder=settings.home / "wandb" / flow_run_id
        )
        self.tracking = context
        self.chain = Chain(context)
        self.lineage: dict[str, str] = {}

    def run(self, promote: bool) -> Outcome:
        recipe, take = self.recipe, self.chain.take
        train_source, test_source = pin_sources(recipe.data, self.folder)
        pretrained = pin_pretrained(recipe.model, recipe.problem.max_tokens, self.folder)
        self._check_opponent(promote)
        self.lineage |= {"train files": train_source.digest, "test files": test_source.digest}
        self.lineage |= {"base model": pretrained.digest}
        sources = take(
            "ingest",
            ingest_rows,
            train=recipe.data.train,
            test=recipe.data.test,
            train_files=train_source,
            test_files=test_source,
        )
        contract = take("validate", validate_rows, sources=sources, contract=recipe.contract, problem=recipe.problem)
        if contract.refused:
            for name in AFTER_CONTRACT:
                self.chain.note(name, "skipped")
            return self._finish("data-refused", contract)
        split, rows, trained = self._train(contract, pretrained)
        version = add_candidate(recipe, trained, pretrained, rows, split)
        self.lineage |= {"model files": trained.digest, "version": version}
        candidate = self._evaluate("evaluate", trained, recipe.problem, contract)
        return self._judge(promote, version, contract, trained, candidate)

    def _train(self, contract: ContractRef, pretrained: PretrainedRef) -> tuple[SplitRef, RowsRef, TrainedRef]:
        recipe, take = self.recipe, self.chain.take
        split = take("split", split_rows, rows=contract.train, split=recipe.data.split)
        held_out = (split.validation, contract.test)
        rows = take("augment", augment_rows, rows=split.train, held_out=held_out, augmenters=recipe.augmentation)
        tokens = take(
            "tokenize",
            tokenize_rows,
            train=rows,
            validation=split.validation,
            pretrained=pretrained,
            problem=recipe.problem,
        )
        trained = take(
            "train",
            train_model,
            tokens=tokens,
            pretrained=pretrained,
            problem=recipe.problem,
            tuning=recipe.tuning,
            training=recipe.training,
        )
        self.lineage |= {"training rows": rows.digest, "validation rows": split.validation.digest}
        self.lineage |= {"test rows": contract.test.digest}
        return split, rows, trained

    def _evaluate(self, name: str, model: ModelRef, problem: Problem, contract: ContractRef) -> ScoresRef:
        scores: ScoresRef = self.chain.take(
            name, evaluate_model, model=model, rows=contract.test, problem=problem, evaluation=self.recipe.evaluation
        )
        return scores

    def _judge(
        self, promote: bool, version: str, contract: ContractRef, trained: TrainedRef, candidate: ScoresRef
    ) -> Outcome:
        """Compare with the champion and promote; whoever loses the race for the log compares again."""
        recipe = self.recipe
        for _ in range(MAX_ROUNDS):
            registry_log = read_log(open_store(self.settings), recipe.promotion.model)
            if registry_log.aliases.get(recipe.promotion.alias) == version:
                for name in ("gate", "report", "promote"):
                    self.chain.note(name, "unchanged")
                return self._finish("unchanged", contract, version, None, candidate)
            opponent = self._opponent()
            champion = self._evaluate_version(opponent, contract)
            verdict = self._gate(candidate, champion, opponent)
            report = self._report(candidate, champion, contract, trained)
            if verdict.decision != "pass" or not promote:
                self.chain.note("promote", "skipped")
                ending: Ending = _ENDINGS[verdict.decision]
                return self._finish(ending, contract, version, verdict, candidate, champion, report)
            event = make_event(registry_log, recipe.promotion.alias, version, verdict, contract.test)
            try:
                self._promote(event)
            except Conflict as conflict:
                log.warning("%s The candidate is compared with the new champion.", conflict)
                continue
            return self._finish("promoted", contract, version, verdict, candidate, champion, report)
        raise Conflict(f"{recipe.promotion.model}: others promoted {MAX_ROUNDS} times in a row meanwhile. Run again.")

    def _check_opponent(self, promote: bool) -> None:
        """Refuse at once what could only be refused after training otherwise. Raises UsageError."""
        promotion, against = self.recipe.promotion, self.recipe.gate.against
        if promote and against not in (None, promotion.alias):
            raise UsageError(
                f"gate.against is {against!r}, but promotion.alias is {promotion.alias!r}: a candidate is promoted "
                "over the model it was compared with. Leave gate.against out, or run with --no-promote."
            )
        version = self._opponent()
        if version is None:
            return
        labels = self._manifest(version).problem.labels
        if labels != self.recipe.problem.labels:
            raise UsageError(
                f"problem.labels is {', '.join(self.recipe.problem.labels)}, but {promotion.model}@{version[:12]} "
                f"answers with {', '.join(labels)}: they cannot be compared. Name another promotion.model."
            )

    def _opponent(self) -> str | None:
        """The version to compare with; None when the alias was never set."""
        promotion, store = self.recipe.promotion, open_store(self.settings)
        against = self.recipe.gate.against or promotion.alias
        version = resolve(store, promotion.model, against)
        if version is None and against != promotion.alias:
            aliases = ", ".join(sorted(read_log(store, promotion.model).aliases)) or "none"
            raise UsageError(
                f"gate.against is {against!r}, neither an alias ({aliases}) nor a version of {promotion.model}."
            )
        return version

    def _manifest(self, version: str) -> Manifest:
        return read_manifest(open_store(self.settings), self.recipe.promotion.model, version)

    def _evaluate_version(self, version: str | None, contract: ContractRef) -> ScoresRef | None:
        """Score a version as it is served, with the problem it was trained for and not the candidate's."""
        if version is None:
            return None
        manifest = self._manifest(version)
        self.lineage["champion"] = version
        return self._evaluate("evaluate-champion", ModelRef.of(manifest.files), manifest.problem, contract)

    def _gate(self, candidate: ScoresRef, champion: ScoresRef | None, opponent: str | None) -> Verdict:
        verdict: Verdict = self.chain.take(
            "gate",
            gate_candidate,
            candidate=candidate,
            champion=champion,
            champion_version=opponent,
            gate=self.recipe.gate,
            num_classes=len(candidate.labels),
        )
        return verdict

    def _promote(self, event: Event) -> None:
        self.chain.act("promote", promote_version, model=self.recipe.promotion.model, event=event)

    def _report(
        self, candidate: ScoresRef, champion: ScoresRef | None, contract: ContractRef, trained: TrainedRef
    ) -> ReportRef:
        report: ReportRef = self.chain.take(
            "report", make_report, candidate=candidate, champion=champion, rows=contract.test, curve=trained.curve
        )
        return report

    def _finish(
        self,
        ending: Ending,
        contract: ContractRef,
        version: str | None = None,
        verdict: Verdict | None = None,
        candidate: ScoresRef | None = None,
        champion: ScoresRef | None = None,
        report: ReportRef | None = None,
    ) -> Outcome:
        promotion = self.recipe.promotion
        page = self.settings.home / "reports" / self.flow_run_id / "report.html"
        outcome = Outcome(
            outcome=ending,
            model=ModelVersion(name=promotion.model, version=version, alias=promotion.alias) if version else None,
            verdict=verdict,
            scores=_scores(candidate, champion) if candidate else None,
            findings=contract.findings,
            steps=tuple(self.chain.records),
            resumed_from_step=None,
            report=str(page),
            flow_run_id=self.flow_run_id,
            tracking_group=self.tracking.group,
            seconds=perf_counter() - self.begun,
        )
        try:
            publish(outcome, self.recipe, report, self.lineage, self.tracking, page)
        except Exception:
            # The decision stands and, where it was to promote, the alias has moved: that is what must be told.
            log.warning("The report could not be published in full; the outcome is not affected.", exc_info=True)
            return outcome.model_copy(update={"report": str(page) if page.exists() else None})
        return outcome


def _scores(candidate: ScoresRef, champion: ScoresRef | None) -> Scores:
    return Scores(
        candidate=candidate.scores,
        candidate_intervals=candidate.intervals,
        champion=champion.scores if champion else None,
        champion_intervals=champion.intervals if champion else None,
    )


_ENDINGS: dict[str, Ending] = {"pass": "passed", "refuse": "refused", "undecidable": "undecidable"}


@flow(name="finetune", persist_result=False)
def finetune(recipe: Recipe, folder: str = ".", promote: bool = True) -> Outcome:
    """Fine-tune, judge and promote a model as the recipe says.

    Args:
        recipe: What to do.
        folder: Where the recipe's relative paths start.
        promote: Whether a candidate that passes takes the alias.
    """
    return Finetuning(recipe, Path(folder).resolve(), Settings(), str(flow_run.id)).run(promote)
