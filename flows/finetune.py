"""The fine-tuning flow: from a recipe to a promoted model, or to the reasons against it."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from prefect import flow

from flows.chain import gate, prepare, promotion, train
from flows.chain.forecast import Forecast, Missed
from flows.chain.origin import tracking_of
from flows.chain.prepare import Inputs, pin_inputs
from flows.chain.promotion import Contender, Decided
from flows.chain.publish import Result, finish
from flows.chain.steps import Run, Steps
from schemas.recipe.recipe import Recipe
from schemas.records.outcome import Outcome, PlannedStep
from schemas.settings import read_settings
from tasks.promotion import make_manifest
from tasks.services.local.object_store import open_store
from tasks.services.registry.doctor import check_store


def run(recipe: Recipe, inputs: Inputs, steps: Steps, promote: bool, reason: str = "") -> Result:
    """Train, gate and promote. Raises TunegateError."""
    promotion.check_promotable(recipe, promote)
    contract = prepare.validated(recipe, inputs, steps)
    if contract.refused:
        steps.note_from("split", "skipped")
        return Result(Decided("data-refused"), contract, inputs.lineage)
    tokens = prepare.tokenized(recipe, inputs, contract, steps)
    best = train.best_seed(recipe, tokens, steps)
    manifest = make_manifest(recipe, best.training, best.trained, tokens.base, tokens.rows, tokens.validation)
    steps.commit(manifest, best.trained.installed)
    # The version's own files and problem, whatever else the training's record says.
    evaluated = gate.evaluated_model("evaluate", train.TunedModel.of(manifest), recipe, contract, steps)
    evaluated = replace(evaluated, seed_scores=best.seeds.scores if best.seeds else ())
    contender = Contender(manifest.version, evaluated, best.models, best.trained.curve, reason=reason)
    decided = promotion.until_undisputed(recipe, inputs, contender, contract, steps, promote)
    lineage = inputs.lineage | tokens.lineage | {"test rows": contract.test.digest}
    lineage |= {"model files": best.trained.digest, "version": manifest.version}
    return Result(
        decided,
        contract,
        lineage,
        contender.name(recipe),
        manifest.version,
        evaluated,
        seeds=best.seeds,
        findings=tokens.findings,
    )


def run_version(recipe: Recipe, inputs: Inputs, steps: Steps, promote: bool, version: str, reason: str = "") -> Result:
    """Gate and promote an existing version of the registry. Raises TunegateError."""
    promotion.check_promotable(recipe, promote)
    gate.check_version(recipe, version, recipe.problem)
    contract = prepare.validated(recipe, inputs, steps)
    if contract.refused:
        return Result(Decided("data-refused"), contract, inputs.lineage)
    evaluated = gate.evaluated_version("evaluate", recipe, version, contract, steps)
    contender = Contender(version, evaluated, is_named=True, reason=reason)
    decided = promotion.until_undisputed(recipe, inputs, contender, contract, steps, promote)
    return Result(decided, contract, inputs.lineage | {"version": version}, contender.name(recipe), version, evaluated)


def steps_of(recipe: Recipe, version: str | None = None) -> tuple[str, ...]:
    """Return the steps of every run in order, without optional ones such as the champion's evaluation."""
    learning = () if version else (*prepare.TOKEN_STEPS, *train.steps_of(recipe))
    return (*prepare.ROW_STEPS, *learning, "evaluate", *promotion.steps_of(recipe))


@flow(name="finetune", flow_run_name="{recipe.name}", persist_result=False)
def finetune(
    recipe: Recipe, folder: str = ".", promote: bool = True, version: str | None = None, reason: str = ""
) -> Outcome:
    """Fine-tune, gate and promote a model by a recipe.

    Args:
        recipe: The recipe.
        folder: Where the recipe's relative paths start.
        promote: Whether a candidate that passes takes the alias.
        version: A version of the recipe's model to gate instead of training one.
        reason: A reason for the log, before those of the gate.
    """
    settings, place = read_settings(), Path(folder).resolve()
    steps = Run(tracking_of(recipe, settings), recipe.name, steps_of(recipe, version))
    if promote and not recipe.promotion.approval:
        # Promotion and approval check too; here a failure costs no training.
        check_store(open_store(settings), settings.home)
    inputs = pin_inputs(recipe, place, needs_base=version is None)
    if version:
        return finish(run_version(recipe, inputs, steps, promote, version, reason), recipe, steps)
    return finish(run(recipe, inputs, steps, promote, reason), recipe, steps)


def preview(recipe: Recipe, folder: Path, promote: bool = True) -> list[PlannedStep]:
    """Forecast the steps of `finetune` without running them. Raises RecipeError, StoreError."""
    forecast = Forecast(recipe.name, steps_of(recipe))
    with suppress(Missed):
        run(recipe, pin_inputs(recipe, folder.resolve(), needs_base=True), forecast, promote)
    return forecast.steps
