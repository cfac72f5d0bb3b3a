"""Overhead of the training step over the training itself, and cost of the rest of a run; server and store are up.

    python -m benchmarks.step recipes/tweets/full.yaml [--repeats 3] [--set A.B=C]... [--json]

In turns, each repeat with another seed: a bare script, timed for its imports (in a separate process), the training
of already encoded rows and the writing of the model's files; and `tunegate run`, whose step imports libraries, fetches
encoded rows, trains, holds a lease, stores checkpoints and the model, and tracks. The order alternates. The ratio of a
repeat is its step's seconds over the bare ones. State lies in TUNEGATE_HOME, which must not have these seeds cached.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.overhead import environment, prefect_server
from benchmarks.retrains import Work
from schemas.recipe.loading import load_recipe

GOAL = 1.05
# Unlike the seeds that people choose, so that no earlier run has trained them.
FIRST_SEED = 7_000
LIBRARIES = "from datasets import Dataset; from transformers import AutoModelForSequenceClassification, Trainer"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--port", type=int, default=4208)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with prefect_server(arguments.port) as address:
        found = [
            measure(
                arguments.recipe,
                [*arguments.overrides, f"training.seeds=[{FIRST_SEED + number}]"],
                address,
                number % 2 == 0,
            )
            for number in range(arguments.repeats)
        ]
    figures = {name: round(median(values[name] for values in found), 3) for name in found[0]}
    spread = [round(choose(values["ratio"] for values in found), 3) for choose in (min, max)]
    for name, value in figures.items():
        print(f"{name:16} {value}" + (f"  (goal {GOAL}, spread {spread[0]} to {spread[1]})" if name == "ratio" else ""))
    if arguments.json:
        print(json.dumps(figures | {"spread": spread}))


def time_libraries() -> float:
    """Seconds of the imports of a script that trains with the Trainer."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
    return time.perf_counter() - begun


def time_training(path: Path, overrides: tuple[str, ...]) -> float:
    """Seconds of the training alone."""
    import tasks.methods.training.trainer  # noqa: F401 - loads torch and transformers

    prepared = Work.of(load_recipe(path, overrides), path.parent)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        prepared.train(Path(folder))
        return time.perf_counter() - begun


def measure(recipe: Path, overrides: list[str], address: str, is_bare_first: bool) -> dict[str, float]:
    """Seconds of the bare script, its imports, the step, and the rest of the run's process; ratio of step to bare."""
    found: dict[str, float] = {}
    for is_bare in (is_bare_first, not is_bare_first):
        if is_bare:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
                training = processes.submit(time_training, recipe, tuple(overrides)).result()
            found["libraries"] = time_libraries()
            found["bare"] = training + found["libraries"]
        else:
            found |= time_run(recipe, overrides, address)
    print({name: round(value, 1) for name, value in found.items()}, file=sys.stderr)
    return found | {"ratio": found["step"] / found["bare"]}


def time_run(recipe: Path, overrides: list[str], address: str) -> dict[str, float]:
    """Seconds of the step, and of the rest of the run's process."""
    settings = [word for override in overrides for word in ("--set", override)]
    begun = time.perf_counter()
    steps = steps_of([str(recipe), "--no-promote", "--json", *settings], address)
    whole = time.perf_counter() - begun
    (step,) = (step for step in steps if step["name"] == "train")
    if step["state"] != "ran":
        raise SystemExit(f"the step was {step['state']}: TUNEGATE_HOME knows this seed already")
    return {"step": step["seconds"], "rest_of_the_run": whole - step["seconds"]}


def steps_of(arguments: list[str], address: str) -> list[dict[str, Any]]:
    """The steps of a run in a separate process; a run that the gate refuses counts too, since it has trained."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", "run", *arguments],
        env=environment({"PREFECT_API_URL": address}),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1, 3):
        raise SystemExit(f"tunegate run ended with {done.returncode}")
    steps: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["steps"]
    return steps


if __name__ == "__main__":
    main()
