"""A model in an isolated process; imports are light, since that process imports this module too."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd

from schemas.errors import Corrupt, TunegateError
from schemas.recipe.problem import Problem

START = "spawn"
"""The start method; the new process inherits no state."""


def answer_apart(name: str, folder: Path, rows: pd.DataFrame | None, problem: Problem) -> list[Any]:
    """Load a model and predict the rows, if there are any. Raises Corrupt, with `name`, if that fails."""
    answers: list[Any] = run_isolated(name, _answer, folder, rows, problem)
    return answers


def run_isolated(name: str, work: Callable[..., Any], *given: object) -> Any:
    """Call a function in a new process. Raises Corrupt, with `name`, if that fails."""
    with ProcessPoolExecutor(1, mp_context=get_context(START), initializer=_end_with_parent) as process:
        doing = process.submit(work, *given)
        try:
            failure = doing.exception()
        except BaseException:
            # An exception here, such as a time limit, is no failure of the model. The executor would wait for the
            # process (Python 3.14 has `kill_workers`).
            for running in tuple(process._processes.values()):
                running.kill()
            raise
    if isinstance(failure, Exception) and not isinstance(failure, TunegateError):
        raise Corrupt(f"{name} does not load in an isolated process: {cause(failure)}.") from failure
    return doing.result()


def _end_with_parent() -> None:
    """End this process when its parent is killed; otherwise it would wait for work for ever."""
    Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    parent = parent_process()
    assert parent is not None
    # This waits for the parent's end of a pipe, so it works with a fork server too.
    parent.join()
    os._exit(1)


def cause(failure: Exception) -> str:
    """Describe a failure to load a model, for use in a sentence."""
    if isinstance(failure, BrokenProcessPool):
        return "the process was killed, perhaps out of memory"
    text = (str(failure).strip() or "no message").splitlines()[0]
    return f"{type(failure).__name__}: {text.rstrip('.')}"


def _answer(folder: Path, rows: pd.DataFrame | None, problem: Problem) -> list[Any]:
    from tasks.methods.models.predictor import open_model

    answer = open_model(folder, problem)
    return [] if rows is None else list(answer(rows)["answer"])
