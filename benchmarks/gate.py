"""Error rates of the gate by simulation (false promotions, power), and the cost of its bootstrap.

    python -m benchmarks.gate [--draws 2000] [--resamples 1000] [--json]

Test sets of 200, 1,000 and 5,000 rows and three classes; on 10 % of the rows one of two models alone is right, on 20 %
neither is. The candidate is compared as in a run, by accuracy and by macro F1:

gain     truly no better, under `required_gain: 0`
margin   truly worse by exactly the margin, 3 points
lost     the same, but the candidate gains no row: on 3 % of the rows the champion alone is right
rare     the same in macro F1, but only rows of a class with 2 % of the rows are lost
power    truly better by 3 points, under `required_gain: 0`; beside it the exact power of McNemar's test

A pass is a false promotion in all scenarios but the last.

The last line of --json holds rates; the bootstrap's seconds are for 10,000 resamples of 100,000 rows and two models.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import binom

from schemas.recipe.gate import Gate
from tasks.methods.rules.decision import decide
from tasks.methods.rules.differences import check_champion
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.paired import decide_by_mcnemar

LABELS = ("a", "b", "c")
ROWS = (200, 1_000, 5_000)
DISCORDANT, BOTH_WRONG, GAIN, MARGIN, CONFIDENCE = 0.10, 0.20, 0.03, 0.03, 0.95
METRICS = ("accuracy", "macro_f1")
SHARES, RIGHT = np.array([0.49, 0.49, 0.02]), 0.9


@dataclass(frozen=True)
class World:
    """Two simulated models: the candidate's true advantage, and the requirement of the gate."""

    name: str
    gain: float
    limit: dict[str, float]
    discordant: float = DISCORDANT
    metrics: tuple[str, ...] = METRICS


WORLDS = (
    World("gain", 0.0, {"required_gain": 0.0}),
    World("margin", -MARGIN, {"non_inferiority_margin": MARGIN}),
    World("lost", -MARGIN, {"non_inferiority_margin": MARGIN}, discordant=MARGIN, metrics=("accuracy",)),
    World("rare", -MARGIN, {"non_inferiority_margin": MARGIN}, metrics=("macro_f1",)),
    World("power", GAIN, {"required_gain": 0.0}),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    passed = {
        (world.name, metric, rows): share_passed(world, metric, rows, arguments.draws, arguments.resamples)
        for world in WORLDS
        for metric in world.metrics
        for rows in ROWS
    }
    exact = {rows: exact_power(rows, GAIN) for rows in ROWS}
    print(f"{'':24}" + "".join(f"{rows:>9,}" for rows in ROWS))
    for world in WORLDS:
        for metric in world.metrics:
            print(f"{world.name:8}{metric:16}" + "".join(f"{passed[world.name, metric, rows]:9.1%}" for rows in ROWS))
    print(f"{'power, McNemar, exact':24}" + "".join(f"{exact[rows]:9.1%}" for rows in ROWS))
    error = math.sqrt(0.05 * 0.95 / arguments.draws)
    print(f"two standard errors of a share near 5 %: {2 * error:.1%}")
    seconds = time_bootstrap()
    print(f"bootstrap {seconds:.2f} s")
    if arguments.json:
        found = {
            "false_promotion": {
                str(rows): max(
                    share for (name, _, number), share in passed.items() if name != "power" and number == rows
                )
                for rows in ROWS
            },
            "power": {str(rows): passed["power", "accuracy", rows] for rows in ROWS},
            "exact_power": {str(rows): round(exact[rows], 4) for rows in ROWS},
            "by_metric": {" ".join(map(str, key)): value for key, value in passed.items()},
            "bootstrap_seconds": round(seconds, 3),
        }
        print(json.dumps(found))


def share_passed(world: World, metric: str, rows: int, draws: int, resamples: int) -> float:
    """Fraction of test sets on which the candidate passes the comparison."""
    random = np.random.default_rng([rows, METRICS.index(metric), WORLDS.index(world)])
    gate = Gate.model_validate(
        {"metric": metric, "at_least": 0, "confidence": CONFIDENCE, "resamples": resamples, **world.limit}
    )
    passed = 0
    for draw in range(draws):
        candidate, champion = draw_rare(random, rows) if world.name == "rare" else draw_answers(random, rows, world)
        seeded = gate.model_copy(update={"seed": draw})
        (comparison,) = check_champion(seeded, Evidence(LABELS, candidate, champion))
        passed += comparison.decision == "pass"
    print(f"{world.name} {metric} {rows}: {passed / draws:.3f}", file=sys.stderr)
    return passed / draws


def draw_answers(random: np.random.Generator, rows: int, world: World) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of both models."""
    discordant, gain = world.discordant, world.gain
    truth_N = random.integers(0, 3, rows)
    chance_N = random.random(rows)
    # From 0: the candidate alone is right, then the champion alone, then neither, then both.
    edges = np.cumsum([(discordant + gain) / 2, (discordant - gain) / 2, BOTH_WRONG])
    is_wrong_N = (chance_N >= edges[0]) & (chance_N < edges[2])
    was_wrong_N = (chance_N < edges[0]) | ((chance_N >= edges[1]) & (chance_N < edges[2]))
    mistakes_N = (truth_N + random.integers(1, 3, rows)) % 3
    answers = (np.where(wrong_N, mistakes_N, truth_N) for wrong_N in (is_wrong_N, was_wrong_N))
    candidate, champion = (pd.DataFrame({"truth": truth_N, "answer": answer_N}) for answer_N in answers)
    return candidate, champion


def draw_rare(random: np.random.Generator, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The champion is right on 90 % of each class; the candidate loses a part of the last class, which is rare."""
    truth_N = random.choice(3, rows, p=SHARES)
    champion_N = np.where(random.random(rows) < RIGHT, truth_N, (truth_N + 1) % 3)
    is_lost_N = (truth_N == 2) & (champion_N == 2) & (random.random(rows) < LOST_OF_RARE)
    answers = (np.where(is_lost_N, 0, champion_N), champion_N)
    candidate, champion = (pd.DataFrame({"truth": truth_N, "answer": answer_N}) for answer_N in answers)
    return candidate, champion


def macro_f1_of(lost: float) -> float:
    """Macro F1 of a model that is right on 90 % of each class, but for a part of the rare one that it lost."""
    confusion_CC = np.diag(SHARES) * RIGHT + np.roll(np.diag(SHARES), 1, axis=1) * (1 - RIGHT)
    confusion_CC[2] += np.array([1, 0, -1]) * confusion_CC[2, 2] * lost
    return float(np.mean(2 * np.diag(confusion_CC) / (confusion_CC.sum(axis=0) + confusion_CC.sum(axis=1))))


# The loss that makes the candidate worse by exactly the margin.
LOST_OF_RARE = brentq(lambda lost: macro_f1_of(0) - macro_f1_of(lost) - MARGIN, 0, 1)


def exact_power(rows: int, gain: float) -> float:
    """Power of McNemar's exact one-sided test, summed over every number of discordant rows and of gained ones."""
    share = (DISCORDANT + gain) / 2 / DISCORDANT
    power = 0.0
    for discordant in range(rows + 1):
        weight = float(binom.pmf(discordant, rows, DISCORDANT))
        if weight > 1e-12:
            power += weight * float(binom.sf(_least_gained(discordant) - 1, discordant, share))
    return power


def _least_gained(discordant: int) -> int:
    """Smallest number of gained rows that passes; one more than the discordant rows if none does."""
    decided = (decide_by_mcnemar(gained, discordant - gained, CONFIDENCE)[0] for gained in range(discordant + 1))
    return next((gained for gained, decision in enumerate(decided) if decision == "pass"), discordant + 1)


def time_bootstrap() -> float:
    """Seconds of a verdict with 10,000 resamples on 100,000 rows, on one core."""
    evidence = Evidence(LABELS, *draw_answers(np.random.default_rng(0), 100_000, WORLDS[0]))
    gate = Gate(metric="macro_f1", at_least=0, non_inferiority_margin=MARGIN, resamples=10_000)
    begun = time.perf_counter()
    decide(gate, evidence)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
