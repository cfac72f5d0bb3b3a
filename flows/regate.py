"""The gate of `finetune` for an existing model, without training, for CI and the Prefect UI."""

from pathlib import Path

from prefect import flow
from pydantic import TypeAdapter, ValidationError

from flows.chain import gate, prepare
from flows.chain.origin import tracking_of
from flows.chain.prepare import Inputs, pin_inputs
from flows.chain.promotion import Decided
from flows.chain.publish import Result, finish
from flows.chain.steps import Run, Steps
from flows.chain.train import TunedModel
from schemas.errors import UsageError
from schemas.recipe.problem import Problem
from schemas.recipe.recipe import Recipe
from schemas.recipe.tuning import FullTuning, Tuning
from schemas.records.outcome import ENDINGS, Outcome
from schemas.records.references import ModelRef
from schemas.settings import read_settings
from tasks.services.inputs.pretrained import loaded_files
from tasks.services.local.object_store import current_store
from tasks.services.registry.pull import read_pulled
from tasks.services.registry.versions import read_manifest, resolve_reference

STEPS = (*prepare.ROW_STEPS, "evaluate", "gate", "report")


def run(recipe: Recipe, inputs: Inputs, steps: Steps, candidate: str, against: str | None) -> Result:
    """Gate the model that a reference names. Raises TunegateError."""
    tuned = find_candidate(candidate, recipe.problem)
    gate.check_comparable(recipe.problem, tuned.problem, candidate, "--candidate")
    version = gate.reference_version(recipe, against)
    if version is not None:
        gate.check_version(recipe, version, tuned.problem)
    contract = prepare.validated(recipe, inputs, steps)
    lineage = inputs.lineage | {"candidate": tuned.model.digest}
    if contract.refused:
        return Result(Decided("data-refused"), contract, lineage, candidate, against=version)
    evaluated = gate.evaluated_model("evaluate", tuned, recipe, contract, steps)
    gated = gate.gated(recipe, evaluated, version, contract, steps)
    return Result(Decided(ENDINGS[gated.verdict.decision], gated), contract, lineage, candidate, evaluated=evaluated)


@flow(name="regate", flow_run_name="{candidate} by {recipe.name}", persist_result=False)
def regate(recipe: Recipe, candidate: str, folder: str = ".", against: str | None = None) -> Outcome:
    """Gate a model against the champion on the recipe's test rows; nothing is trained and nothing promoted.

    Args:
        recipe: The recipe of test rows, gate and promotion.
        candidate: NAME@ALIAS, NAME@VERSION or a model's folder.
        folder: Where the recipe's relative paths start.
        against: An alias or a version of the promoted model, which must exist; by default the recipe's.
    """
    steps = Run(tracking_of(recipe, read_settings()), f"{recipe.name}-regate", STEPS)
    inputs = pin_inputs(recipe, Path(folder).resolve(), needs_base=False)
    return finish(run(recipe, inputs, steps, candidate, against), recipe, steps)


def find_candidate(reference: str, problem: Problem) -> TunedModel:
    """Find the model of a reference. Raises UsageError.

    A pulled folder is the version that its manifest names; another one is taken to solve the recipe's problem. Its
    files are uploaded to the store for the steps.
    """
    store = current_store()
    if "@" in reference:
        return TunedModel.of(read_manifest(store, *resolve_reference(store, reference)))
    folder = Path(reference)
    if pulled := read_pulled(folder):
        manifest, files = pulled
        store.put_files(files.values())
        return TunedModel.of(manifest)
    if not ((folder / "config.json").is_file() and any(folder.glob("*.safetensors"))):
        raise UsageError(
            f"--candidate {reference}: expected NAME@ALIAS, NAME@VERSION or a folder with config.json and weights in "
            "*.safetensors."
        )
    part = folder / "tuning.json"
    try:
        tuning: Tuning = TypeAdapter(Tuning).validate_json(part.read_bytes()) if part.exists() else FullTuning()
    except ValidationError as error:
        raise UsageError(f"--candidate {reference}: {part} was not written by tunegate: {error}") from None
    paths = loaded_files(folder)
    blobs = dict(zip(paths, store.put_files(paths.values()), strict=True))
    return TunedModel(ModelRef.of(blobs), problem, tuning)
