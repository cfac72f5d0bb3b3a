"""Verdicts on retrained models that differ only by their seed: the fraction of pairs that pass the margin.

    python -m benchmarks.retrains recipes/tweets/full.yaml --seeds 5 [--set A.B=C]... [--json]

Each seed is trained and predicts the test rows once, by the steps' own functions; then every ordered pair goes through
the recipe's own gate as candidate and champion. The last line of --json holds the figures.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd

from schemas.recipe.loading import load_recipe
from schemas.recipe.recipe import Recipe
from schemas.records.references import CurvePoint
from tasks.augmentation import augment
from tasks.evaluation import answer, score
from tasks.gating import gate_predictions
from tasks.ingestion import read_source
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems.table import PROBLEMS
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.paired import limit_of
from tasks.pinning import pin_pretrained, pin_sources
from tasks.splitting import split_by_hash
from tasks.training import train
from tasks.validation import check_contract


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be 2 or more: pairs are judged")
    overrides = tuple(arguments.overrides)
    recipes = [load_recipe(arguments.recipe, (*overrides, f"training.seeds=[{n}]")) for n in range(arguments.seeds)]
    answers = [train_and_answer(recipe, arguments.recipe.parent) for recipe in recipes]
    figures = compare_pairs(recipes[0], answers)
    for name, value in figures.items():
        print(f"{name:24} {value}")
    if arguments.json:
        print(json.dumps(figures))


@dataclass(frozen=True)
class Work:
    """A recipe's encoded rows; the test rows stay as texts."""

    recipe: Recipe
    pretrained: Path
    tokens: tuple[pd.DataFrame, pd.DataFrame]
    test: pd.DataFrame

    @classmethod
    def of(cls, recipe: Recipe, folder: Path) -> Self:
        """Prepare rows like the steps before training."""
        files, data = pin_sources(recipe.data, folder), recipe.data
        pretrained = Path(pin_pretrained(recipe.model, recipe.problem, recipe.positions, folder).folder)
        sources = [read_source(source, found) for source, found in zip((data.train, data.test), files, strict=True)]
        train_rows, test, _ = check_contract(*sources, recipe.contract, recipe.problem)
        training, validation = split_by_hash(train_rows, data.split)
        training = augment(training, recipe.augmentation, pd.concat([validation["text"], test["text"]]))
        tokenizer, encode = load_tokenizer(pretrained), PROBLEMS[recipe.problem.kind].encode
        tables = [encode(tokenizer, rows, recipe.problem)[["input_ids", "labels"]] for rows in (training, validation)]
        return cls(recipe, pretrained, (tables[0], tables[1]), test)

    def train(self, folder: Path) -> tuple[CurvePoint, ...]:
        """Train with the recipe's first seed, into `folder/model`."""
        recipe = self.recipe
        return train(self.pretrained, self.tokens, recipe.problem, recipe.tuning, recipe.trainings[0], folder)


def train_and_answer(recipe: Recipe, folder: Path) -> pd.DataFrame:
    """Predictions of the recipe's model on its test rows."""
    work = Work.of(recipe, folder)
    with tempfile.TemporaryDirectory() as name:
        work.train(Path(name))
        answers = answer(Path(name) / "model", work.test, recipe.problem)
    scores = score(answers, recipe.evaluation, recipe.problem.labels)
    print(f"seed {recipe.training.seeds[0]}: {scores}", file=sys.stderr)
    return answers


def compare_pairs(recipe: Recipe, answers: list[pd.DataFrame]) -> dict[str, object]:
    """Gate every ordered pair; fractions are of pairs, scores are means over seeds with their standard deviation."""
    scores = [score(found, recipe.evaluation, recipe.problem.labels)[recipe.gate.metric] for found in answers]
    pairs = list(itertools.permutations(answers, 2))
    labels = recipe.problem.labels
    decisions = Counter(gate_predictions(recipe.gate, Evidence(labels, one, other)).decision for one, other in pairs)
    discordant = [(one["answer"] != other["answer"]).mean() for one, other in pairs]
    return {
        "metric": recipe.gate.metric,
        "test_rows": len(answers[0]),
        "seeds": len(answers),
        "mean": round(statistics.mean(scores), 4),
        "standard_deviation": round(statistics.stdev(scores), 4),
        "lowest": round(min(scores), 4),
        "differing_fraction": round(float(statistics.mean(discordant)), 4),
        "limit": limit_of(recipe.gate),
        "pairs": len(pairs),
        **{decision: decisions[decision] for decision in ("pass", "undecidable", "refuse")},
    }


if __name__ == "__main__":
    main()
