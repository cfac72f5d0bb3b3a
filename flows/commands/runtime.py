"""What surrounds a flow that a command runs: logs, signals, a Prefect server, and how the command begins and ends."""

import contextlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import typer
from tasks.services.process.home import make_home

from schemas.errors import Preempted, TunegateError, UsageError
from schemas.recipe.recipe import Recipe
from schemas.records.outcome import Outcome
from schemas.settings import Settings
from tasks.services.process.signals import raise_on_signals


@contextlib.contextmanager
def failure_told(as_json: bool) -> Iterator[None]:
    """Keep standard output for the result, which for a program is an object even where there is none."""
    try:
        # A trainer writes its progress to standard output.
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (TunegateError, Preempted) as error:
        if as_json:
            steps = [record.model_dump() for record in error.steps]
            typer.echo(json.dumps({"outcome": "failed", "error": str(error), "steps": steps}))
        raise


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """Everything a flow needs around it: logs, signals, a server."""
    make_homes()
    log_to_stderr()
    raise_on_signals()
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.prefect_server.connection import reach_server, server_failures_told

    reach_server()
    # These repeat what the steps say of themselves, and show tracebacks of errors that are explained below.
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).propagate = False
    # Nobody watches the heartbeat of a command in a terminal, and it delays the end by a second.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), server_failures_told():
        yield


@contextlib.contextmanager
def disk_failures_told(folder: Path) -> Iterator[None]:
    """Tell in a sentence that a folder may not be read or written, or that its disk is full. Raises UsageError."""
    try:
        yield
    except OSError as error:
        # A full disk has no name in its error, and files are fetched into the home first.
        where = error.filename or f"{folder} or TUNEGATE_HOME ({Settings().home})"
        raise UsageError(
            f"{where}: {error.strerror}, so not all of {folder} was read or written. Name a folder that may be, make "
            "room where there is none, and run again."
        ) from None


def make_homes() -> None:
    """Make the home, and Prefect's, which makes the last folder of its own only, and warns. Raises UsageError."""
    make_home(Settings())
    Path(os.environ["PREFECT_HOME"]).expanduser().mkdir(parents=True, exist_ok=True)


def log_to_stderr() -> None:
    """Show what flows and tasks log: what is done, and for whom a command waits."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    # It raises the levels of its loggers itself; without a way up only its warnings are shown.
    logging.getLogger("great_expectations").propagate = False
    for name in ("flows", "tasks"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.handlers, logger.propagate = [handler], False


def begin(recipe: Recipe, out: Path | None) -> None:
    """Leave in the folder for CI what holds for a run that does not come to its end, not what an earlier one found.

    Raises UsageError where it is no folder to write into.
    """
    if out is None:
        return
    from tasks.methods.reports.ci import render_unjudged

    comment = render_unjudged(recipe)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("gate.json", "junit.xml"):
            (out / name).unlink(missing_ok=True)
        (out / "gate.md").write_text(comment, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out}: expected a folder to write into: {error.strerror}. Name another.") from None


def end(outcome: Outcome, out: Path | None, result: str | None) -> NoReturn:
    """Copy what a run wrote about its verdict to where CI expects it, print the result, or words, and exit."""
    if out is not None:
        _copy(Settings().home / "reports" / outcome.flow_run_id, out)
    if result is not None:
        typer.echo(result)
    else:
        from flows.commands.display import show_outcome

        show_outcome(outcome)
    raise typer.Exit(outcome.exit_code)


def _copy(written: Path, out: Path) -> None:
    """What was decided is told also where its files could not be written."""
    try:
        shutil.copytree(written, out, dirs_exist_ok=True)
    except OSError as error:
        typer.echo(f"--out {out}: files of this run are missing, its outcome is not affected: {error}", err=True)
