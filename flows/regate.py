"""Judge a model that exists: the gate of `finetune` without the training, for CI and the Prefect UI."""

from pathlib import Path
from time import perf_counter

from prefect import flow
from prefect.runtime import flow_run
from pydantic import TypeAdapter, ValidationError

from flows.chain.gate import Judging, check_same_question, scores_of
from flows.chain.origin import tracking_of
from flows.chain.publish import publish
from flows.chain.steps import Chain
from flows.chain.train import Learning
from schemas.errors import UsageError
from schemas.recipe.problem import Problem
from schemas.recipe.recipe import Recipe
from schemas.recipe.tuning import FullTuning, Tuning
from schemas.records.outcome import ENDINGS, Outcome
from schemas.records.references import ModelRef, ReportRef
from schemas.records.steps import Cost
from schemas.records.verdict import Verdict
from schemas.settings import Settings
from tasks.services.inputs.pretrained import loaded_files
from tasks.services.local.object_store import open_store
from tasks.services.registry.versions import read_manifest, resolve_reference


@flow(name="regate", flow_run_name="{candidate} by {recipe.name}", persist_result=False)
def regate(recipe: Recipe, candidate: str, folder: str = ".", against: str | None = None) -> Outcome:
    """Hold a model against the champion on the recipe's test rows; nothing is trained and nothing promoted.

    Args:
        recipe: Whose test rows, gate and promotion count.
        candidate: NAME@ALIAS, NAME@VERSION or a model's folder.
        folder: Where the recipe's relative paths start.
        against: An alias or a version of the promoted model, which must exist; the recipe's unless given.
    """
    begun, settings, flow_run_id = perf_counter(), Settings(), str(flow_run.id)
    tracking = tracking_of(recipe, settings)
    chain = Chain(tracking, f"{recipe.name}-regate")
    learning = Learning(recipe, Path(folder).resolve(), chain)
    judging = Judging(recipe, learning, chain)
    model, problem, tuning = find_candidate(candidate, recipe.problem)
    check_same_question(recipe.problem, problem, candidate, "--candidate")
    opponent = judging.opponent(against)
    if opponent is not None:
        judging.check_problem(opponent, problem)
    contract = learning.check()
    verdict: Verdict | None = None
    scores = None
    report: ReportRef | None = None
    if not contract.refused:
        ours = judging.ask("evaluate", model, problem, tuning, contract)
        theirs = judging.ask_champion(opponent, contract)
        verdict = judging.gate(ours, theirs, opponent, contract)
        scores = scores_of(ours, theirs)
        report = judging.report(ours, theirs, verdict, contract)
    learning.lineage["candidate"] = model.digest
    page = settings.home / "reports" / flow_run_id / "report.html"
    outcome = Outcome(
        outcome=ENDINGS[verdict.decision] if verdict else "data-refused",
        model=None,
        candidate=candidate,
        against=f"{recipe.promotion.model}@{opponent[:12]}" if opponent else None,
        verdict=verdict,
        scores=scores,
        findings=contract.findings,
        verdicts_on_rows=judging.count_verdicts(contract) if verdict else None,
        steps=tuple(chain.records),
        cost=Cost.of(chain.records, settings),
        resumed_from_step=None,
        report=str(page),
        flow_run_id=flow_run_id,
        tracking_group=tracking.group,
        seconds=perf_counter() - begun,
    )
    return publish(outcome, recipe, report, learning.lineage, tracking, page)


def find_candidate(reference: str, asked: Problem) -> tuple[ModelRef, Problem, Tuning]:
    """The model that a reference names, the problem it answers and how it was tuned. Raises UsageError.

    A folder answers the recipe's own problem; its files go into the store, where every step finds them.
    """
    store = open_store(Settings())
    if "@" in reference:
        manifest = read_manifest(store, *resolve_reference(store, reference))
        return ModelRef.of(manifest.files), manifest.problem, manifest.tuning
    folder = Path(reference)
    if not ((folder / "config.json").is_file() and any(folder.glob("*.safetensors"))):
        raise UsageError(
            f"--candidate {reference}: expected NAME@ALIAS, NAME@VERSION or a folder with config.json and weights in "
            "*.safetensors."
        )
    part = folder / "tuning.json"
    try:
        tuning: Tuning = TypeAdapter(Tuning).validate_json(part.read_bytes()) if part.exists() else FullTuning()
    except ValidationError as error:
        raise UsageError(
            f"--candidate {reference}: {part} is not what tunegate writes beside a model: {error}"
        ) from None
    paths = loaded_files(folder)
    files = dict(zip(paths, store.put_files(paths.values()), strict=True))
    return ModelRef.of(files), asked, tuning
