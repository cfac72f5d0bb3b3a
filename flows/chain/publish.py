"""Publication of a flow run: outcome, report page, Prefect artifacts, W&B."""

import json
import logging
import traceback
from dataclasses import dataclass
from pathlib import Path

from prefect.artifacts import create_image_artifact, create_link_artifact, create_markdown_artifact
from prefect.runtime import flow_run

from flows.chain.gate import Evaluated
from flows.chain.promotion import Decided
from flows.chain.steps import Run
from schemas.frozen import short
from schemas.recipe.recipe import Recipe
from schemas.records.outcome import ModelVersion, Outcome, Scores, Seeds
from schemas.records.references import ContractRef, Finding, ReportRef
from schemas.records.steps import Cost
from schemas.settings import read_settings, without_password
from tasks.methods.reports.ci import render_comment, render_junit
from tasks.methods.reports.page import HEADLINES, data_uri, render_markdown, render_page
from tasks.services.local.object_store import current_store
from tasks.services.registry.documents import MANIFEST, key_of
from tasks.services.storage.store import Store
from tasks.services.tracking.wandb_runs import Tracker, TrackingContext, tracking_run

log = logging.getLogger(__name__)
ALARMING = ("refused", "undecidable", "data-refused")
NAMED = ("promoted", "unchanged")
ERROR_COLUMNS = ["text", "label", "answer", "probability", "champion"]


@dataclass(frozen=True)
class Result:
    """Result of a run of the chain.

    lineage: digests of the decision's inputs, by their names in the report
    candidate: the gated model, as people name it; version: its version, if it may be promoted
    findings: those beside the contract's
    """

    decided: Decided
    contract: ContractRef
    lineage: dict[str, str]
    candidate: str | None = None
    version: str | None = None
    evaluated: Evaluated | None = None
    seeds: Seeds | None = None
    against: str | None = None
    findings: tuple[Finding, ...] = ()


def finish(result: Result, recipe: Recipe, steps: Run) -> Outcome:
    """Build the outcome of a flow run and publish it; its `report` is None where publishing failed."""
    settings, flow_run_id = read_settings(), str(flow_run.id)
    page = settings.home / "reports" / flow_run_id / "report.html"
    outcome = outcome_of(result, recipe, steps, page, flow_run_id)
    gated = result.decided.gated
    lineage = result.lineage
    if gated and gated.champion_version:
        lineage = lineage | {"champion": gated.champion_version}
    try:
        _publish(outcome, recipe, gated.report if gated else None, lineage, steps.tracking, page)
    except Exception:
        # The decision stands and the alias may have moved, so the outcome is still returned.
        warn_unpublished("The report could not be published in full; the outcome is not affected.")
        return outcome.model_copy(update={"report": str(page) if page.exists() else None})
    return outcome


def outcome_of(result: Result, recipe: Recipe, steps: Run, page: Path, flow_run_id: str) -> Outcome:
    """Build the outcome of a run, which `--json` prints."""
    name, decided = recipe.promotion.model, result.decided
    gated = decided.gated
    candidate = gated.candidate if gated else result.evaluated
    against = gated.champion_version if gated else result.against
    return Outcome(
        outcome=decided.ending,
        model=ModelVersion(name=name, version=result.version, alias=recipe.promotion.alias) if result.version else None,
        candidate=result.candidate,
        against=f"{name}@{short(against)}" if against else None,
        verdict=gated.verdict if gated else None,
        scores=scores_of(candidate, gated.champion if gated else None) if candidate else None,
        findings=result.contract.findings + result.findings,
        seeds=result.seeds,
        approval=decided.approval,
        taken_back=decided.taken_back,
        verdicts_on_rows=gated.verdicts_on_rows if gated else None,
        steps=tuple(steps.records),
        cost=Cost.of(steps.records, read_settings()),
        resumed_from_step=steps.resumed_from_step,
        report=str(page),
        flow_run_id=flow_run_id,
        tracking_group=steps.tracking.group,
        seconds=steps.seconds,
    )


def scores_of(candidate: Evaluated, champion: Evaluated | None) -> Scores:
    return Scores(
        candidate=candidate.scores.scores,
        candidate_intervals=candidate.scores.intervals,
        champion=champion.scores.scores if champion else None,
        champion_intervals=champion.scores.intervals if champion else None,
    )


def warn_unpublished(sentence: str) -> None:
    """Warn with the current traceback, without the password of Prefect's address in its text."""
    log.warning("%s\n%s", sentence, without_password(traceback.format_exc()))


def _publish(
    outcome: Outcome,
    recipe: Recipe,
    report: ReportRef | None,
    lineage: dict[str, str],
    tracking: TrackingContext,
    page: Path,
) -> None:
    write_files(page.parent, outcome, recipe, report)
    store = current_store()
    blobs = report.pictures if report else {}
    pictures = {name: store.fetch(blob).read_bytes() for name, blob in blobs.items()}
    page.write_text(render_page(outcome, recipe, report, pictures, lineage), encoding="utf-8")
    key = artifact_key(recipe.name)
    text = render_markdown(outcome, recipe, report, lineage)
    create_markdown_artifact(text, key=f"{key}-report", description=outcome.outcome)
    for name, picture in pictures.items():
        picture_key = f"{key}-{name.removesuffix('.png').replace('_', '-')}"
        create_image_artifact(data_uri(picture), key=picture_key, description=name)
    with tracking_run(tracking, "outcome", recipe.model_dump(mode="json")) as tracker:
        _track(tracker, outcome, recipe, report, lineage)
        _link(tracker, outcome, store)
        if tracker.url:
            create_link_artifact(tracker.url, key=f"{key}-tracking", link_text="Weights & Biases")


def _track(
    tracker: Tracker, outcome: Outcome, recipe: Recipe, report: ReportRef | None, lineage: dict[str, str]
) -> None:
    tracker.summarize({"outcome": outcome.outcome, "seconds": outcome.seconds, **lineage})
    if outcome.cost:
        tracker.summarize({f"cost_{name}": value for name, value in outcome.cost if value is not None})
    if outcome.outcome in ALARMING:
        tracker.warn(f"{recipe.name}: {outcome.outcome}", _explain(outcome))
    tracker.log({f"seconds/{step.name}": step.seconds for step in outcome.steps})
    if report:
        rows = [[getattr(error, column) for column in ERROR_COLUMNS] for error in report.errors]
        tracker.table("errors", ERROR_COLUMNS, rows)


def _link(tracker: Tracker, outcome: Outcome, store: Store) -> None:
    model = outcome.model
    if model is None:
        return
    manifest = f"s3://{store.bucket}/{key_of(model.name, model.version, MANIFEST)}"
    aliases = [model.alias] if outcome.outcome in NAMED else []
    alias = {"alias": model.alias} if aliases else {}
    tracker.summarize({"registry": {"model": model.name, "version": model.version, "manifest": manifest, **alias}})
    tracker.link_version(model.name, manifest, [*aliases, short(model.version)])


def _explain(outcome: Outcome) -> str:
    rules = outcome.verdict.rules if outcome.verdict else ()
    found = [finding.sentence for finding in outcome.findings if finding.refused]
    reasons = [f"{rule.decision}: {rule.name}: {rule.reason}" for rule in rules if rule.decision != "pass"]
    return "\n".join([HEADLINES[outcome.outcome], *found, *reasons])


def write_files(folder: Path, outcome: Outcome, recipe: Recipe, report: ReportRef | None) -> None:
    """Write the verdict as JSON, as a comment for pull requests and as JUnit XML."""
    folder.mkdir(parents=True, exist_ok=True)
    verdict = (
        outcome.verdict.model_dump_json(indent=2) if outcome.verdict else json.dumps({"decision": outcome.outcome})
    )
    (folder / "gate.json").write_text(f"{verdict}\n", encoding="utf-8")
    (folder / "gate.md").write_text(render_comment(outcome, recipe, report), encoding="utf-8")
    (folder / "junit.xml").write_bytes(render_junit(outcome, recipe))


def artifact_key(name: str) -> str:
    """Convert a name to a Prefect artifact key: letters, digits and dashes."""
    return name.replace(".", "-").replace("_", "-")
