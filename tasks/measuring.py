"""Measuring: time and memory of two models for the same rows, alternating in one process."""

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from schemas.frozen import digest_of
from schemas.recipe.problem import Problem
from schemas.recipe.tuning import Tuning
from schemas.records.references import CostsRef, ModelCosts, ModelRef, RowsRef
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.process.meter import Meter
from tasks.services.registry.versions import unpacked
from tasks.services.storage.tables import read_table

if TYPE_CHECKING:
    from tasks.methods.models.predictor import Answering

BLOCKS, SINGLES, BATCH, MEMORY_REPEATS = 20, 8, 32, 5
PAGE_BYTES = 4096
Folder = tuple[Path, Problem]


def measure_side_by_side(candidate: Folder, champion: Folder, rows: pd.DataFrame) -> CostsRef:
    """Time both models on random blocks of rows, each being the first on every other block."""
    from tasks.methods.models.predictor import open_model

    random = np.random.default_rng(0)
    blocks = [rows.iloc[random.integers(0, len(rows), SINGLES + BATCH)] for _ in range(BLOCKS)]
    # Otherwise the first model would include the time of importing libraries.
    open_model(*champion)(blocks[0])
    memory = [[_hold(model, blocks[0]) for model in (candidate, champion)] for _ in range(MEMORY_REPEATS)]
    opened = [open_model(*model) for model in (candidate, champion)]
    seconds: tuple[list[list[float]], list[list[float]]] = ([], [])
    for number, block in enumerate(blocks):
        for which in (0, 1) if number % 2 else (1, 0):
            pieces = [block.iloc[[place]] for place in range(SINGLES)] + [block.iloc[SINGLES:]]
            seconds[which].append([_time(opened[which], piece) for piece in pieces])
    found = [
        ModelCosts(
            singles=tuple(tuple(block[:SINGLES]) for block in of_model),
            batches=tuple(block[SINGLES] / BATCH for block in of_model),
            memory_bytes=tuple(held),
            size_bytes=sum(file.stat().st_size for file in folder.iterdir()),
        )
        for of_model, held, (folder, _) in zip(seconds, zip(*memory, strict=True), (candidate, champion), strict=True)
    ]
    return CostsRef(digest=digest_of([costs.model_dump() for costs in found]), candidate=found[0], champion=found[1])


def _hold(model: Folder, rows: pd.DataFrame) -> int:
    """Measure the peak memory of loading a model and predicting, in bytes; at least a page, to avoid ratios to 0."""
    from tasks.methods.models.predictor import open_model

    meter = Meter()
    with meter.running():
        open_model(*model)(rows)
    return max(meter.peak_memory_bytes, PAGE_BYTES)


def _time(answer: "Answering", rows: pd.DataFrame) -> float:
    begun = perf_counter()
    answer(rows)
    return perf_counter() - begun


@cached_task("measure")
def measure_costs(
    candidate: ModelRef,
    champion: ModelRef,
    rows: RowsRef,
    problem: Problem,
    tuning: Tuning,
    champion_problem: Problem,
    champion_tuning: Tuning,
) -> CostsRef:
    """Measure two stored models; problems and tunings determine the code that loads them.

    The results are cached: later runs with the same two models use those of the first machine.
    """
    store = current_store()
    table = read_table(store, rows)
    with unpacked(store, candidate) as ours, unpacked(store, champion) as theirs:
        return measure_side_by_side((ours, problem), (theirs, champion_problem), table)
