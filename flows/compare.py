"""Comparison of tuning methods on a recipe's rows, over several seeds: `tunegate compare`."""

import statistics
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from prefect.runtime import flow_run

from flows.chain import gate, prepare, train
from flows.chain.origin import tracking_of
from flows.chain.publish import artifact_key, warn_unpublished
from flows.chain.steps import Run
from schemas.errors import DataError
from schemas.recipe.recipe import Recipe
from schemas.records.comparison import Comparison, ComparisonRef, MethodCost
from schemas.records.references import RowsRef, ScoresRef, TrainedRef, TrainingCost
from schemas.settings import read_settings
from tasks.comparison import compare_methods
from tasks.methods.reports.comparison import table_of
from tasks.methods.reports.page import data_uri
from tasks.services.local.object_store import open_store

# The files that an unmerged adapter adds to its base.
TRAINED = ("trained.safetensors", "tuning.json")


@flow(name="compare", persist_result=False)
def compare(recipe: Recipe, folder: str, methods: dict[str, Recipe]) -> Comparison:
    """Train and score each method with each of the recipe's seeds, and compare them.

    Args:
        recipe: The recipe of rows, metric and seeds.
        folder: Where the recipe's relative paths start.
        methods: By display name, the recipe of tuning and training.
    """
    settings, flow_run_id = read_settings(), str(flow_run.id)
    steps = Run(tracking_of(recipe, settings), f"{recipe.name}-compare")
    inputs = prepare.pin_inputs(recipe, Path(folder).resolve(), needs_base=True)
    contract = prepare.validated(recipe, inputs, steps)
    if contract.refused:
        sentences = "\n".join(finding.sentence for finding in contract.findings if finding.refused)
        raise DataError(f"The rows break their contract:\n{sentences}")
    tokens = prepare.tokenized(recipe, inputs, contract, steps)
    trained = train_methods(recipe, methods, tokens, steps)
    scores = score_methods(recipe, methods, trained, contract.test, steps)
    baselines = gate.baselines(recipe, recipe.baselines, contract, steps)
    found: ComparisonRef = steps.call(
        "compare",
        compare_methods,
        names=tuple(methods),
        scores=scores,
        baselines=baselines,
        labels=recipe.problem.labels,
        metric=recipe.gate.metric,
    )
    comparison = Comparison(
        metric=found.metric,
        num_rows=found.num_rows,
        seeds=recipe.training.seeds,
        baselines=found.baselines,
        methods=found.methods,
        costs=tuple(cost_of(name, list(models.values())) for name, models in trained.items()),
        folder=str(settings.home / "reports" / flow_run_id),
        seconds=steps.seconds,
    )
    try:
        publish(comparison, open_store(settings).fetch(found.picture).read_bytes(), recipe.name)
    except Exception:
        # The scores are complete, so they are still returned.
        warn_unpublished("The comparison could not be published in full.")
    return comparison


def train_methods(
    recipe: Recipe, methods: dict[str, Recipe], tokens: prepare.Tokens, steps: Run
) -> dict[str, dict[int, TrainedRef]]:
    seeds = recipe.training.seeds
    wanted = {
        f"{name}-seed-{training.seeds[0]}": (method.tuning, training)
        for name, method in methods.items()
        for training in _with_seeds(method, seeds).trainings
    }
    models = iter(train.train_all(wanted, recipe.problem, tokens, steps))
    return {name: {seed: next(models) for seed in seeds} for name in methods}


def score_methods(
    recipe: Recipe, methods: dict[str, Recipe], trained: dict[str, dict[int, TrainedRef]], rows: RowsRef, steps: Run
) -> tuple[tuple[ScoresRef, ...], ...]:
    """Evaluate each method's models on `rows`; shape (methods, seeds)."""

    def scored(name: str, seed: int, model: TrainedRef) -> ScoresRef:
        tuned = train.TunedModel(model, recipe.problem, methods[name].tuning)
        return train.evaluated(f"{name}-score-{seed}", tuned, rows, recipe.evaluation, steps)

    return tuple(tuple(scored(name, seed, model) for seed, model in models.items()) for name, models in trained.items())


def _with_seeds(method: Recipe, seeds: tuple[int, ...]) -> Recipe:
    return method.model_copy(update={"training": method.training.model_copy(update={"seeds": seeds})})


def cost_of(name: str, models: list[TrainedRef]) -> MethodCost:
    """Average the costs of the trainings; of an unmerged adapter only its own files count."""
    costs = [model.cost for model in models]
    sizes = [
        sum(blob.size_bytes for file, blob in model.files.items() if file in TRAINED or TRAINED[0] not in model.files)
        for model in models
    ]
    return MethodCost(
        name=name,
        training=TrainingCost(
            seconds=statistics.mean(cost.seconds for cost in costs),
            peak_memory_bytes=round(statistics.mean(cost.peak_memory_bytes for cost in costs)),
            trained_parameters=costs[0].trained_parameters,
            parameters=costs[0].parameters,
        ),
        artifact_bytes=round(statistics.mean(sizes)),
    )


def publish(comparison: Comparison, picture: bytes, name: str) -> None:
    folder = Path(comparison.folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = table_of(comparison)
    (folder / "comparison.md").write_text(table + "\n", encoding="utf-8")
    (folder / "comparison.png").write_bytes(picture)
    key = artifact_key(name)
    create_markdown_artifact(table, key=f"{key}-comparison")
    create_image_artifact(data_uri(picture), key=f"{key}-comparison-picture")
