"""Runtime of a command's flow: logging, signals, Prefect server, files for CI, exit code."""

import contextlib
import errno
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from flows.commands.echo import VisibleFormatter, echo
from schemas.errors import Preempted, TunegateError, UsageError
from schemas.recipe.recipe import Recipe
from schemas.records.outcome import Outcome
from schemas.settings import read_settings
from tasks.services.process.folders import check_folders
from tasks.services.process.home import make_home
from tasks.services.process.signals import raise_on_signals

if TYPE_CHECKING:
    from tasks.services.storage.store import Store


def resolve(reference: str) -> "tuple[Store, str, str]":
    """Open the store, and resolve NAME@ALIAS or NAME@VERSION into name and version. Raises UsageError, StoreError."""
    from tasks.services.local.object_store import current_store
    from tasks.services.registry.versions import resolve_reference

    store = current_store()
    return store, *resolve_reference(store, reference)


@contextlib.contextmanager
def failures_as_json(as_json: bool) -> Iterator[None]:
    """Reserve standard output for the result; with `as_json`, print an error as a JSON object too."""
    try:
        # A trainer writes its progress to standard output.
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (TunegateError, Preempted) as error:
        if as_json:
            steps = [record.model_dump() for record in error.steps]
            echo(json.dumps({"outcome": "failed", "error": str(error), "steps": steps}))
        raise


@contextlib.contextmanager
def flow_runtime() -> Iterator[None]:
    """Set up logging, signals and a Prefect server for a flow."""
    echo("starting Prefect and the libraries of the steps ...", err=True)
    make_homes()
    log_to_stderr()
    raise_on_signals()
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.prefect_server.connection import reach_server, translated_server_failures

    reach_server()
    # These repeat the steps' own logs, with tracebacks of errors that the command explains.
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).propagate = False
    # No automation needs the heartbeat of a command in a terminal, and it delays the end by a second.
    with (
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        translated_server_failures(),
        translated_full_disk(),
    ):
        yield


@contextlib.contextmanager
def translated_full_disk() -> Iterator[None]:
    """Translate the errors of a disk that has become full or read-only during a flow. Raises UsageError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise UsageError(
            f"{error.filename or read_settings().home}: {error.strerror}. Free space, or choose another TUNEGATE_HOME; "
            "then run the same command again: finished steps are not repeated."
        ) from None


@contextlib.contextmanager
def translated_disk_failures(folder: Path) -> Iterator[None]:
    """Translate OSErrors of a folder, such as a full disk. Raises UsageError."""
    try:
        yield
    except OSError as error:
        # The error of a full disk names no file, and downloads go through the home.
        where = error.filename or f"{folder} or TUNEGATE_HOME ({read_settings().home})"
        raise UsageError(
            f"{where}: {error.strerror}, so not all of {folder} was read or written. Free space or choose another "
            "folder, then run again."
        ) from None


def make_homes() -> None:
    """Create the home and Prefect's, which otherwise warns about missing parents; try them. Raises UsageError."""
    settings = read_settings()
    make_home(settings)
    check_folders(settings.home)
    prefect_home = Path(os.environ["PREFECT_HOME"])
    try:
        prefect_home.expanduser().mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"PREFECT_HOME: {prefect_home} is no folder that can be made: {error}. Choose another."
        ) from None


def log_to_stderr() -> None:
    """Show the logs of flows and tasks on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(VisibleFormatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    # It sets the levels of its loggers itself; without propagation only its warnings are shown.
    logging.getLogger("great_expectations").propagate = False
    for name in ("flows", "tasks"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.handlers, logger.propagate = [handler], False


def begin(recipe: Recipe, out: Path | None) -> None:
    """Reset the folder for CI to `No verdict`, for a run that never ends. Raises UsageError if it is not writable."""
    if out is None:
        return
    from tasks.methods.reports.ci import render_without_verdict

    comment = render_without_verdict(recipe)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("gate.json", "junit.xml"):
            (out / name).unlink(missing_ok=True)
        (out / "gate.md").write_text(comment, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out}: expected a folder to write into: {error.strerror}. Name another.") from None


def end(outcome: Outcome, out: Path | None, result: str | None) -> NoReturn:
    """Copy the run's files to the folder for CI, print the result and exit with its code."""
    if out is not None:
        _copy(read_settings().home / "reports" / outcome.flow_run_id, out)
    if result is not None:
        echo(result)
    else:
        from flows.commands.display import show_outcome

        show_outcome(outcome)
    raise typer.Exit(outcome.exit_code)


def _copy(written: Path, out: Path) -> None:
    """Copy files; a failure is only a warning, since the decision stands."""
    try:
        shutil.copytree(written, out, dirs_exist_ok=True)
    except OSError as error:
        echo(f"--out {out}: files of this run are missing, its outcome is not affected: {error}", err=True)
