"""From tokens to trained models and their scores: one training a seed, the best by the validation rows."""

from dataclasses import dataclass
from typing import Self

from flows.chain.prepare import Tokens
from flows.chain.steps import Steps
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
    """A model's files, the problem it answers and the method that tuned it."""

    model: ModelRef
    problem: Problem
    tuning: Tuning

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """A version as it is served: with the problem it was trained for. Raises Corrupt."""
        return cls(ModelRef.of(manifest.files), manifest.problem, manifest.tuning)


@dataclass(frozen=True)
class Best:
    """The trained model that is gated, its training, and how much the seed mattered where there were several."""

    trained: TrainedRef
    training: Training
    seeds: Seeds | None = None

    @property
    def seed_scores(self) -> tuple[float, ...]:
        """The gate's metric on the validation rows, one score a seed; empty for one seed."""
        return tuple(run.score for run in self.seeds.runs) if self.seeds else ()


def best_seed(recipe: Recipe, tokens: Tokens, steps: Steps) -> Best:
    """Train once a seed and choose by the gate's metric on the validation rows; of equal scores the first seed's.

    Raises DataError where these rows give no score.
    """
    trainings = recipe.trainings
    wanted = dict(zip(training_names(recipe), ((recipe.tuning, one) for one in trainings), strict=True))
    models = train_all(wanted, recipe.problem, tokens, steps)
    if len(trainings) == 1:
        return Best(models[0], trainings[0])
    tuned = [TunedModel(model, recipe.problem, recipe.tuning) for model in models]
    scores = [
        evaluated(name, model, tokens.validation, recipe.evaluation, steps)
        for name, model in zip(score_names(recipe), tuned, strict=True)
    ]
    seeds = compare_seeds(recipe.gate.metric, [one.seeds[0] for one in trainings], scores)
    chosen = [run.seed for run in seeds.runs].index(seeds.chosen)
    return Best(models[chosen], trainings[chosen], seeds)


def train_all(
    wanted: dict[str, tuple[Tuning, Training]], problem: Problem, tokens: Tokens, steps: Steps
) -> list[TrainedRef]:
    """Train each, by the name of its step; other workers may take all but the first."""
    arguments = {
        name: {
            "tokens": tokens.pair,
            "pretrained": tokens.base,
            "problem": problem,
            "tuning": tuning,
            "training": training,
        }
        for name, (tuning, training) in wanted.items()
    }
    with steps.shared(train_model, dict(list(arguments.items())[1:])):
        return [steps.call(name, train_model, **own) for name, own in arguments.items()]


def evaluated(name: str, tuned: TunedModel, rows: RowsRef, evaluation: Evaluation, steps: Steps) -> ScoresRef:
    """Score a model on rows."""
    scores: ScoresRef = steps.call(
        name,
        evaluate_model,
        model=tuned.model,
        rows=rows,
        problem=tuned.problem,
        tuning=tuned.tuning,
        evaluation=evaluation,
    )
    return scores


def steps_of(recipe: Recipe) -> tuple[str, ...]:
    """The steps between tokens and the candidate."""
    return (*training_names(recipe), *score_names(recipe))


def training_names(recipe: Recipe) -> tuple[str, ...]:
    """The step of each training."""
    seeds = recipe.training.seeds
    return (TRAIN,) if len(seeds) == 1 else tuple(f"{TRAIN}-seed-{seed}" for seed in seeds)


def score_names(recipe: Recipe) -> tuple[str, ...]:
    """The step of each seed's scores on validation rows; none where there is nothing to choose from."""
    seeds = recipe.training.seeds
    return () if len(seeds) == 1 else tuple(f"score-seed-{seed}" for seed in seeds)


def compare_seeds(metric: str, numbers: list[int], scores: list[ScoresRef]) -> Seeds:
    """Say how much the seed matters.

    A run is degenerate when it scores no better than one prediction for all rows (Mosbach et al. 2021,
    arXiv:2006.04884); None where there is no such prediction.
    """
    if any(metric not in found.scores for found in scores):
        raise DataError(f"{metric} is no number on the validation rows, so no seed can be chosen: they are too few.")
    runs = tuple(
        SeedRun(
            seed=number,
            score=found.scores[metric],
            is_degenerate=found.scores[metric] <= found.constant[metric] if metric in found.constant else None,
        )
        for number, found in zip(numbers, scores, strict=True)
    )
    return Seeds(metric=metric, runs=runs)
