"""Training: one model for each seed, and the best one by its score on the validation rows."""

from dataclasses import dataclass
from typing import Self

from flows.chain.prepare import Tokens
from flows.chain.steps import CachedSteps, Steps
from schemas.errors import DataError
from schemas.recipe.evaluation import Evaluation
from schemas.recipe.problem import Problem
from schemas.recipe.recipe import Recipe
from schemas.recipe.training import Training
from schemas.recipe.tuning import Tuning
from schemas.records.outcome import SeedRun, Seeds
from schemas.records.references import ModelRef, RowsRef, ScoresRef, TrainedRef
from schemas.records.versions import Manifest
from tasks.evaluation import evaluate_model
from tasks.training import train_model

TRAIN = "train"


@dataclass(frozen=True)
class TunedModel:
    model: ModelRef
    problem: Problem
    tuning: Tuning

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Read a version's model, with the problem it was trained for. Raises Corrupt."""
        return cls(ModelRef.of(manifest.files), manifest.problem, manifest.tuning)


@dataclass(frozen=True)
class Best:
    """The best model of all seeds and its training; of several seeds also every model, and their comparison."""

    trained: TrainedRef
    training: Training
    models: tuple[TunedModel, ...] = ()
    seeds: Seeds | None = None


def best_seed(recipe: Recipe, tokens: Tokens, steps: Steps) -> Best:
    """Train once for each seed; choose by the gate's metric on the validation rows, the first seed in a tie.

    Raises DataError where these rows give no score.
    """
    trainings = recipe.trainings
    wanted = dict(zip(training_names(recipe), ((recipe.tuning, one) for one in trainings), strict=True))
    models = train_all(wanted, recipe.problem, tokens, steps)
    if len(trainings) == 1:
        return Best(models[0], trainings[0])
    tuned = tuple(TunedModel(model, recipe.problem, recipe.tuning) for model in models)
    seeds = score_seeds(recipe, tuned, tokens.validation, steps)
    chosen = [run.seed for run in seeds.runs].index(seeds.chosen)
    return Best(models[chosen], trainings[chosen], tuned, seeds)


def score_seeds(recipe: Recipe, models: tuple[TunedModel, ...], validation: RowsRef, steps: CachedSteps) -> Seeds:
    """Score the models of the recipe's seeds on the validation rows. Raises DataError where these give no score."""
    scores = [
        evaluated(name, model, validation, recipe.evaluation, steps)
        for name, model in zip(score_names(recipe), models, strict=True)
    ]
    return compare_seeds(recipe.gate.metric, list(recipe.training.seeds), scores)


def train_all(
    wanted: dict[str, tuple[Tuning, Training]], problem: Problem, tokens: Tokens, steps: Steps
) -> list[TrainedRef]:
    """Train each, by the name of its step; all but the first are offered to other workers."""
    common = {"tokens": tokens.pair, "pretrained": tokens.base, "problem": problem}
    arguments = {name: common | {"tuning": tuning, "training": training} for name, (tuning, training) in wanted.items()}
    with steps.shared(train_model, dict(list(arguments.items())[1:])):
        return [steps.call(name, train_model, **own) for name, own in arguments.items()]


def evaluated(name: str, tuned: TunedModel, rows: RowsRef, evaluation: Evaluation, steps: CachedSteps) -> ScoresRef:
    return steps.call(name, evaluate_model, rows=rows, evaluation=evaluation, **vars(tuned))


def steps_of(recipe: Recipe) -> tuple[str, ...]:
    return (*training_names(recipe), *score_names(recipe))


def training_names(recipe: Recipe) -> tuple[str, ...]:
    seeds = recipe.training.seeds
    return (TRAIN,) if len(seeds) == 1 else tuple(f"{TRAIN}-seed-{seed}" for seed in seeds)


def score_names(recipe: Recipe) -> tuple[str, ...]:
    seeds = recipe.training.seeds
    return () if len(seeds) == 1 else tuple(f"score-seed-{seed}" for seed in seeds)


def compare_seeds(metric: str, numbers: list[int], scores: list[ScoresRef]) -> Seeds:
    """Compare the scores of several seeds.

    A run is degenerate when it scores no better than one prediction for all rows (Mosbach et al. 2021,
    arXiv:2006.04884); None where there is no such prediction.
    """
    if any(metric not in found.scores for found in scores):
        raise DataError(f"{metric} is undefined on the validation rows, so no seed can be chosen: they are too few.")
    runs = tuple(
        SeedRun(
            seed=number,
            score=found.scores[metric],
            is_degenerate=found.scores[metric] <= found.constant[metric] if metric in found.constant else None,
        )
        for number, found in zip(numbers, scores, strict=True)
    )
    return Seeds(metric=metric, runs=runs)
