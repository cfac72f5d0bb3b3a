"""Gain of tuning over a base that can already predict, such as a language model, on the same test rows.

    python -m benchmarks.gain recipes/dialogue/smollm2.yaml [--set A.B=C]... [--json]

Trained with the recipe's first seed, by the steps' own functions; 95 % intervals of the scores, and of their
differences on the same resampled rows. The last line of --json holds the figures.
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.retrains import Work
from schemas.recipe.loading import load_recipe
from tasks.evaluation import answer
from tasks.methods.metrics.score import group_rows, interval, measure, resample
from tasks.methods.metrics.table import METRICS

RESAMPLES = 10_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = compare(arguments.recipe, tuple(arguments.overrides))
    for name, values in found.items():
        print(f"{name:24} {'  '.join(f'{key} {value}' for key, value in values.items())}")
    if arguments.json:
        print(json.dumps(found))


def compare(path: Path, overrides: tuple[str, ...]) -> dict[str, dict[str, object]]:
    """Scores before and after by name, each with its interval, and their difference."""
    work = Work.of(load_recipe(path, overrides), path.parent)
    recipe = work.recipe
    before = answer(work.pretrained, work.test, recipe.problem)
    with tempfile.TemporaryDirectory() as folder:
        work.train(Path(folder))
        after = answer(Path(folder) / "model", work.test, recipe.problem)
    found: dict[str, dict[str, object]] = {}
    for metric in recipe.evaluation.metrics:
        of_row, of_model = METRICS[metric].columns
        groups = group_rows(before[of_row].to_numpy(), before[of_model].to_numpy(), after[of_model].to_numpy())
        scores = [measure(METRICS[metric], groups, model, recipe.problem.labels) for model in (0, 1)]
        drawn = resample(METRICS[metric], groups, recipe.problem.labels, RESAMPLES, seed=0)
        for name in scores[0]:
            bounds = [interval(values[name], 0.975) for values in drawn]
            difference = interval(drawn[1][name] - drawn[0][name], 0.975)
            found[name] = {
                "before": round(scores[0][name], 3),
                "before_interval": _rounded(bounds[0]),
                "after": round(scores[1][name], 3),
                "after_interval": _rounded(bounds[1]),
                "difference": _rounded(difference),
            }
    return found


def _rounded(bounds: tuple[float, float]) -> list[float]:
    return [round(bound, 3) for bound in bounds]


if __name__ == "__main__":
    main()
