"""W&B tracking runs, one for each step, grouped by flow run; tracking never fails or blocks a step.

Offline without a key. A server that does not answer costs one warning and a few seconds; later runs are offline.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from schemas.frozen import Frozen

INIT_SECONDS = 10
FINISH_SECONDS = 5
# W&B's limit.
TAG_WIDTH = 64
IDENTITY = re.compile(r"WANDB_(RUN_.*|RESUME.*|FORK_FROM|SWEEP_.*|LAUNCH.*|NAME|JOB_TYPE|CONFIG(_\d+)?)")
"""Variables of the environment that belong to one run of W&B."""
log = logging.getLogger(__name__)


class TrackingContext(Frozen):
    """Settings shared by all tracking runs of a flow run."""

    project: str
    group: str
    folder: Path
    origin: dict[str, str] = Field(default_factory=dict)
    """Deployment, recipe and other origins of the flow run, in each run's configuration."""

    @classmethod
    def of_flow_run(cls, project: str, flow_run_id: str, home: Path, origin: dict[str, str] | None = None) -> Self:
        """Group all steps of a flow run, in a folder named by its id."""
        return cls(project=project, group=flow_run_id, folder=home / "wandb" / flow_run_id, origin=origin or {})

    @property
    def tags(self) -> list[str]:
        """Return tags to find runs of several flow runs by, such as `deployment:retrain/weekly`."""
        return [f"{name}:{self.origin[name]}"[:TAG_WIDTH] for name in ("deployment", "recipe") if name in self.origin]


class Tracker:
    """A tracking run of W&B, or none; the first failing call logs a warning and ends tracking."""

    def __init__(self, run: Any = None) -> None:
        self._run = run
        self.summary: dict[str, Any] = {}

    @property
    def url(self) -> str | None:
        """The run's page, None where tracking is off or offline."""
        return str(self._run.url) if self._run and self._run.url else None

    def log(self, values: dict[str, float]) -> None:
        """Add a point to the curves."""
        self._try(lambda: self._run.log(values))

    def summarize(self, values: dict[str, Any]) -> None:
        """Set values of the run's summary."""
        self.summary.update(values)
        self._try(lambda: self._run.summary.update(values))

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """Log a table."""
        self._try(lambda: self._log_table(name, columns, rows))

    def lineage(self, name: str, addresses: dict[str, str]) -> None:
        """Log the step's outputs as an artifact of references, without copying bytes."""
        self._try(lambda: self._log_artifact(name, "step-output", addresses))

    def link_version(self, name: str, manifest: str, aliases: list[str]) -> None:
        """Log a registry version, by its manifest's address, as a W&B model with these aliases."""
        self._try(lambda: self._log_artifact(name, "model", {"manifest.json": manifest}, aliases))

    def warn(self, title: str, text: str) -> None:
        """Send a W&B alert."""
        self._try(lambda: self._run.alert(title=title[: TAG_WIDTH - 1], text=text, level="WARN"))

    def finish(self, exit_code: int) -> None:
        self._try(lambda: self._run.finish(exit_code=exit_code))

    def _log_table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        import wandb

        self._run.log({name: wandb.Table(columns=list(columns), data=list(rows))})

    def _log_artifact(self, name: str, kind: str, addresses: dict[str, str], aliases: list[str] | None = None) -> None:
        import wandb

        artifact = wandb.Artifact(name, type=kind)
        for part, address in addresses.items():
            artifact.add_reference(address, name=part, checksum=False)
        self._run.log_artifact(artifact, aliases=aliases)

    def _try(self, call: Callable[[], object]) -> None:
        if self._run is None:
            return
        try:
            call()
        except Exception as error:
            # W&B raises errors of any class; none may end hours of training.
            log.warning("W&B failed (%s: %s): the rest of this step is not tracked.", type(error).__name__, error)
            self._run = None


_current: ContextVar[Tracker] = ContextVar("tracker")


def current_tracker() -> Tracker:
    """Return the running step's tracker; outside of a step, one without effect."""
    return _current.get(Tracker())


@contextmanager
def tracking_run(context: TrackingContext, step: str, config: dict[str, Any]) -> Iterator[Tracker]:
    """Track one step; tracking failures are warnings, the step's own errors pass through."""
    tracker = Tracker(_open(context, step, config))
    token = _current.set(tracker)
    exit_code = 1
    try:
        yield tracker
        exit_code = 0
    finally:
        _current.reset(token)
        tracker.finish(exit_code)


_is_reachable = True


def _open(context: TrackingContext, step: str, config: dict[str, Any]) -> Any:
    """Start a W&B run, None where tracking is off. After one failure to reach the server, runs are offline."""
    if _mode() == "disabled":
        return None
    global _is_reachable
    import wandb

    is_online = _is_reachable and _mode() == "online"
    folder = context.folder / step
    settings = wandb.Settings(
        mode="online" if is_online else "offline",
        silent=True,
        console="off",
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        disable_git=True,
        save_code=False,
        x_disable_stats=True,
        # Listing every installed package takes longer than a cached step; the key has the relevant ones.
        x_save_requirements=False,
        # On SageMaker W&B would group them by the training job.
        sagemaker_disable=True,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _without_identity():
            return wandb.init(
                project=context.project,
                group=context.group,
                job_type=step,
                name=f"{step}-{time.strftime('%Y%m%d-%H%M%S')}",
                dir=folder,
                tags=context.tags,
                config=config | {"origin": context.origin},
                settings=settings,
            )
    except Exception as error:
        # W&B raises errors of other libraries too; none may end a flow run.
        if not is_online:
            log.warning("W&B cannot write to %s (%s): this step is not tracked.", folder, error)
            return None
        _is_reachable = False
        log.warning("W&B did not answer (%s): tracking is offline from now on, in %s.", error, context.folder)
        return _open(context, step, config)


@contextmanager
def _without_identity() -> Iterator[None]:
    """Hide the variables by which sweeps, launchers and CI choose a run's identity: each step is a run of its own."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if IDENTITY.fullmatch(name)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _mode() -> str:
    """Return W&B's mode; offline without a key, since W&B would otherwise prompt for one."""
    return os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
