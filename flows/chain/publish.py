"""Tell people how a flow run ended: the page, Prefect's artifacts, W&B."""

import json
import logging
import traceback
from pathlib import Path

from prefect.artifacts import create_image_artifact, create_link_artifact, create_markdown_artifact

from schemas.recipe.recipe import Recipe
from schemas.records.outcome import Outcome
from schemas.records.references import ReportRef
from schemas.settings import Settings, without_password
from tasks.methods.reports.ci import render_comment, render_junit
from tasks.methods.reports.page import HEADLINES, data_uri, render_markdown, render_page
from tasks.services.local.object_store import open_store
from tasks.services.registry.documents import MANIFEST, key_of
from tasks.services.storage.store import Store
from tasks.services.tracking.wandb_runs import Tracker, TrackingContext, tracking_run

log = logging.getLogger(__name__)
ALARMING = ("refused", "undecidable", "data-refused")
NAMED = ("promoted", "unchanged")
SHORT = 12
ERROR_COLUMNS = ["text", "label", "answer", "probability", "champion"]


def publish(
    outcome: Outcome,
    recipe: Recipe,
    report: ReportRef | None,
    lineage: dict[str, str],
    tracking: TrackingContext,
    page: Path,
) -> Outcome:
    """Write the page, and the same as Prefect artifacts and as a tracking run; give the outcome with what there is."""
    try:
        _publish(outcome, recipe, report, lineage, tracking, page)
    except Exception:
        # The decision stands and, where it was to promote, the alias has moved: that is what must be told.
        warn_unpublished("The report could not be published in full; the outcome is not affected.")
        return outcome.model_copy(update={"report": str(page) if page.exists() else None})
    return outcome


def warn_unpublished(sentence: str) -> None:
    """Warn with the traceback of the error at hand, whose text may hold the address of Prefect's server."""
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
    store = open_store(Settings())
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
        tracker.summarize({"outcome": outcome.outcome, "seconds": outcome.seconds, **lineage})
        if outcome.cost:
            tracker.summarize({f"cost_{name}": value for name, value in outcome.cost if value is not None})
        _link(tracker, outcome, store)
        if outcome.outcome in ALARMING:
            tracker.warn(f"{recipe.name}: {outcome.outcome}", _explain(outcome))
        tracker.log({f"seconds/{step.name}": step.seconds for step in outcome.steps})
        if report:
            rows = [[getattr(error, column) for column in ERROR_COLUMNS] for error in report.errors]
            tracker.table("errors", ERROR_COLUMNS, rows)
        if tracker.url:
            create_link_artifact(tracker.url, key=f"{key}-tracking", link_text="Weights & Biases")


def _link(tracker: Tracker, outcome: Outcome, store: Store) -> None:
    """Lead from the tracking run to the registry: the version, and the alias where it names it now."""
    model = outcome.model
    if model is None:
        return
    manifest = f"s3://{store.bucket}/{key_of(model.name, model.version, MANIFEST)}"
    aliases = [model.alias] if outcome.outcome in NAMED else []
    alias = {"alias": model.alias} if aliases else {}
    tracker.summarize({"registry": {"model": model.name, "version": model.version, "manifest": manifest, **alias}})
    tracker.link_version(model.name, manifest, [*aliases, model.version[:SHORT]])


def _explain(outcome: Outcome) -> str:
    """Why nothing was promoted, each reason a line."""
    rules = outcome.verdict.rules if outcome.verdict else ()
    found = [finding.sentence for finding in outcome.findings if finding.refused]
    said = [f"{rule.decision}: {rule.name}: {rule.reason}" for rule in rules if rule.decision != "pass"]
    return "\n".join([HEADLINES[outcome.outcome], *found, *said])


def write_files(folder: Path, outcome: Outcome, recipe: Recipe, report: ReportRef | None) -> None:
    """Write the verdict for programs, for a pull request and for a list of test results."""
    folder.mkdir(parents=True, exist_ok=True)
    verdict = (
        outcome.verdict.model_dump_json(indent=2) if outcome.verdict else json.dumps({"decision": outcome.outcome})
    )
    (folder / "gate.json").write_text(f"{verdict}\n", encoding="utf-8")
    (folder / "gate.md").write_text(render_comment(outcome, recipe, report), encoding="utf-8")
    (folder / "junit.xml").write_bytes(render_junit(outcome, recipe))


def artifact_key(name: str) -> str:
    """A name as Prefect's keys of artifacts allow it: letters, digits and dashes."""
    return name.replace(".", "-").replace("_", "-")
