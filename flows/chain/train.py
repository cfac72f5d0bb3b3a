"""From a recipe's files to trained models and their scores: what finetuning and comparing have in common."""

from pathlib import Path

from flows.chain.forecast import Forecast
from flows.chain.steps import Chain
from schemas.errors import DataError
from schemas.recipe.problem import Problem
from schemas.recipe.recipe import Recipe
from schemas.recipe.training import Training
from schemas.recipe.tuning import Tuning
from schemas.records.outcome import SeedRun, Seeds
from schemas.records.references import (
    ContractRef,
    ModelRef,
    PretrainedRef,
    RowsRef,
    ScoresRef,
    TokensPairRef,
    TrainedRef,
)
from tasks.augmentation import augment_rows
from tasks.evaluation import evaluate_model
from tasks.ingestion import ingest_rows
from tasks.pinning import pin_pretrained, pin_sources
from tasks.splitting import split_rows
from tasks.tokenization import tokenize_rows
from tasks.training import train_model
from tasks.validation import validate_rows

TRAIN = "train"


class Learning:
    """The steps up to trained models, in their order; `chain` runs them, or foretells what running would do.

    `lineage` names what went into the models by digest.
    """

    contract: ContractRef
    validation: RowsRef
    rows: RowsRef

    def __init__(self, recipe: Recipe, folder: Path, chain: Chain | Forecast) -> None:
        self.recipe, self.chain = recipe, chain
        self._folder, self._sources = folder, pin_sources(recipe.data, folder)
        train_files, test_files = self._sources
        self.lineage = {"train files": train_files.digest, "test files": test_files.digest}
        self._tokens: TokensPairRef | None = None

    def pin(self) -> None:
        """Find and check the base model, without which nothing can be trained. Raises RecipeError."""
        self.pretrained: PretrainedRef = pin_pretrained(self.recipe.model, self.recipe.positions, self._folder)
        self.lineage["base model"] = self.pretrained.digest

    def check(self) -> ContractRef:
        """Read the rows and hold them to the contract."""
        data, take, (train_files, test_files) = self.recipe.data, self.chain.take, self._sources
        sources = take(
            "ingest",
            ingest_rows,
            train=data.train,
            test=data.test,
            train_files=train_files,
            test_files=test_files,
        )
        self.contract = take(
            "validate", validate_rows, sources=sources, contract=self.recipe.contract, problem=self.recipe.problem
        )
        return self.contract

    def encode(self) -> None:
        """Split, augment and tokenize rows that passed."""
        recipe, take, contract = self.recipe, self.chain.take, self.contract
        split = take("split", split_rows, rows=contract.train, split=recipe.data.split)
        held_out = (split.validation, contract.test)
        self.validation = split.validation
        self.rows = take("augment", augment_rows, rows=split.train, held_out=held_out, augmenters=recipe.augmentation)
        self._tokens = take(
            "tokenize",
            tokenize_rows,
            train=self.rows,
            validation=split.validation,
            pretrained=self.pretrained,
            problem=recipe.problem,
        )
        self.lineage |= {"training rows": self.rows.digest, "validation rows": split.validation.digest}
        self.lineage |= {"test rows": contract.test.digest}

    def train(self, wanted: dict[str, tuple[Tuning, Training]]) -> list[TrainedRef]:
        """Train each, by the name of its step; other workers take a share of several."""
        steps = {
            name: {
                "tokens": self._tokens,
                "pretrained": self.pretrained,
                "problem": self.recipe.problem,
                "tuning": tuning,
                "training": training,
            }
            for name, (tuning, training) in wanted.items()
        }
        with self.chain.shared(dict(list(steps.items())[1:])):
            return [self.chain.take(name, train_model, **arguments) for name, arguments in steps.items()]

    def evaluate(self, name: str, model: ModelRef, problem: Problem, tuning: Tuning, rows: RowsRef) -> ScoresRef:
        """Score a model on rows by the recipe's metrics."""
        scores: ScoresRef = self.chain.take(
            name,
            evaluate_model,
            model=model,
            rows=rows,
            problem=problem,
            tuning=tuning,
            evaluation=self.recipe.evaluation,
        )
        return scores

    def train_best(self) -> tuple[TrainedRef, Training, Seeds | None]:
        """Train once a seed and give the model with the best score on the validation rows, with its settings.

        With one seed nothing is chosen. Of equal scores the first seed's counts.
        """
        recipe, tuning = self.recipe, self.recipe.tuning
        trainings = recipe.trainings
        if len(trainings) == 1:
            (model,) = self.train({TRAIN: (tuning, trainings[0])})
            return model, trainings[0], None
        names = training_steps(recipe)
        models = self.train({name: (tuning, one) for name, one in zip(names, trainings, strict=False)})
        scores = [
            self.evaluate(name, model, recipe.problem, tuning, self.validation)
            for name, model in zip(names[len(models) :], models, strict=True)
        ]
        seeds = compare_seeds(recipe.gate.metric, [one.seeds[0] for one in trainings], scores)
        chosen = [run.seed for run in seeds.runs].index(seeds.chosen)
        return models[chosen], trainings[chosen], seeds


def training_steps(recipe: Recipe) -> tuple[str, ...]:
    """The steps between tokens and the candidate: a training each seed, then their scores on validation rows."""
    seeds = recipe.training.seeds
    if len(seeds) == 1:
        return (TRAIN,)
    return (*(f"{TRAIN}-seed-{seed}" for seed in seeds), *(f"score-seed-{seed}" for seed in seeds))


def compare_seeds(metric: str, numbers: list[int], scores: list[ScoresRef]) -> Seeds:
    """Say how much the seed matters.

    A run is degenerate when it scores no better than one answer for all rows (Mosbach et al. 2021, arXiv:2006.04884);
    None where there is no such answer.
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
