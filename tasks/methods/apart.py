"""A model in a process of its own, which knows nothing but its folder; light to import, for that process does too."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from schemas.problems import Problem

START = "spawn"
"""How the process begins: on every system with nothing of this one."""


def answer_apart(folder: Path, rows: pd.DataFrame, problem: Problem) -> list[Any]:
    """Load a model and have it answer the rows."""
    with ProcessPoolExecutor(1, mp_context=get_context(START)) as process:
        return process.submit(_answer, folder, rows, problem).result()


def load_apart(folder: Path, problem: Problem) -> None:
    """Load a model, which is all that can be asked of one without rows."""
    with ProcessPoolExecutor(1, mp_context=get_context(START)) as process:
        process.submit(_load, folder, problem).result()


def _answer(folder: Path, rows: pd.DataFrame, problem: Problem) -> list[Any]:
    from tasks.methods.answering import open_model

    return list(open_model(folder, problem)(rows)["answer"])


def _load(folder: Path, problem: Problem) -> None:
    from tasks.methods.answering import open_model

    open_model(folder, problem)
