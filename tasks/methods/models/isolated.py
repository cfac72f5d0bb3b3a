"""A model in a process of its own, which knows nothing but its folder; light to import, for that process does too."""

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
"""How the process begins: on every system with nothing of this one."""


def answer_apart(name: str, folder: Path, rows: pd.DataFrame | None, problem: Problem) -> list[Any]:
    """Load a model and have it answer the rows, if there are any. Raises Corrupt, by `name`, where it cannot."""
    answers: list[Any] = run_isolated(name, _answer, folder, rows, problem)
    return answers


def run_isolated(name: str, work: Callable[..., Any], *given: object) -> Any:
    """Call a function in a new process. Raises Corrupt, by `name`, where that fails."""
    with ProcessPoolExecutor(1, mp_context=get_context(START), initializer=_end_with_asker) as process:
        doing = process.submit(work, *given)
        try:
            failure = doing.exception()
        except BaseException:
            # What ends the waiting here, such as a time limit, is no failure of the model; the executor would wait for
            # what is running (Python 3.14 has `kill_workers`).
            for running in tuple(process._processes.values()):
                running.kill()
            raise
    if isinstance(failure, Exception) and not isinstance(failure, TunegateError):
        raise Corrupt(f"{name} does not load in a process of its own: {cause(failure)}.") from failure
    return doing.result()


def _end_with_asker() -> None:
    """Let a kill of who asked end the answering too, which would wait for the next question for ever."""
    Thread(target=_await_asker, daemon=True).start()


def _await_asker() -> None:
    asker = parent_process()
    assert asker is not None
    # Also where a server forks for it: what is waited for is its end of a pipe.
    asker.join()
    os._exit(1)


def cause(failure: Exception) -> str:
    """What a sentence can say of a model that does not load."""
    if isinstance(failure, BrokenProcessPool):
        return "the process was killed, perhaps for want of memory"
    text = (str(failure).strip() or "it says no more").splitlines()[0]
    return f"{type(failure).__name__}: {text.rstrip('.')}"


def _answer(folder: Path, rows: pd.DataFrame | None, problem: Problem) -> list[Any]:
    from tasks.methods.models.predictor import open_model

    answer = open_model(folder, problem)
    return [] if rows is None else list(answer(rows)["answer"])
