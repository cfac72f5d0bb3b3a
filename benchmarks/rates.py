"""Learning rates for a tuning method: the validation loss at each, best first. Test rows are not used.

    python -m benchmarks.rates recipes/tweets/full.yaml --tuning "{kind: lora, rank: 4}" --rates 5e-4 1e-3 2e-3 [--json]

Each rate is trained with the recipe's first seed, by the steps' own functions; the loss is that of the best evaluation,
none if training diverged.
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

from benchmarks.retrains import Work
from schemas.errors import Diverged
from schemas.recipe.loading import load_recipe


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--tuning", action="append", required=True, help="one or several, as a recipe has it")
    parser.add_argument("--rates", nargs="+", required=True)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = []
    for tuning in arguments.tuning:
        for rate in arguments.rates:
            loss = best_loss(arguments.recipe, (f"tuning={tuning}", f"training.learning_rate={rate}"))
            print(f"{loss:.4f}  {rate}  {tuning}", file=sys.stderr)
            found.append((loss, rate, tuning))
    for loss, rate, tuning in sorted(found):
        print(f"{loss:.4f}  {rate:8}  {tuning}")
    if arguments.json:
        print(
            json.dumps(
                [{"validation_loss": loss, "rate": float(rate), "tuning": tuning} for loss, rate, tuning in found]
            )
        )


def best_loss(path: Path, overrides: tuple[str, ...]) -> float:
    """The lowest validation loss of a training; infinite when it diverged."""
    with tempfile.TemporaryDirectory() as work:
        try:
            curve = Work.of(load_recipe(path, overrides), path.parent).train(Path(work))
        except Diverged:
            return math.inf
    return min(point.validation_loss for point in curve if point.validation_loss is not None)


if __name__ == "__main__":
    main()
