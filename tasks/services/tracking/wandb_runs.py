"""Weights & Biases, or nothing: one tracking run a step, grouped by flow run, that can never fail or block a step.

Offline without a key. A server that does not answer costs one warning and a few seconds, then the rest is offline.
"""

import logging
import os
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
# W&B refuses longer ones.
TAG_WIDTH = 64
log = logging.getLogger(__name__)


class TrackingContext(Frozen):
    """What every tracking run of a flow run has in common."""

    project: str
    group: str
    folder: Path
    origin: dict[str, str] = Field(default_factory=dict)
    """Whose run it is: deployment, recipe and what else a person looks for; in each run's configuration."""

    @classmethod
    def of_flow_run(cls, project: str, flow_run_id: str, home: Path, origin: dict[str, str] | None = None) -> Self:
        """All steps of a flow run are one group, in a folder of their own."""
        return cls(project=project, group=flow_run_id, folder=home / "wandb" / flow_run_id, origin=origin or {})

    @property
    def tags(self) -> list[str]:
        """What runs of several flow runs are found by, such as `deployment:retrain/weekly`."""
        return [f"{name}:{self.origin[name]}"[:TAG_WIDTH] for name in ("deployment", "recipe") if name in self.origin]


class Tracker:
    """A tracking run of W&B, or none; the first call that fails is a warning and the last one."""

    def __init__(self, run: Any = None) -> None:
        self._run = run
        self.summary: dict[str, Any] = {}

    @property
    def url(self) -> str | None:
        """The run's page, None where it has none: it is off, or offline."""
        return str(self._run.url) if self._run and self._run.url else None

    def log(self, values: dict[str, float]) -> None:
        """Add a point to the curves."""
        self._try(lambda: self._run.log(values))

    def summarize(self, values: dict[str, Any]) -> None:
        """Set what the run is listed with; `summary` holds it too."""
        self.summary.update(values)
        self._try(lambda: self._run.summary.update(values))

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """Keep a table."""
        self._try(lambda: self._log_table(name, columns, rows))

    def lineage(self, name: str, addresses: dict[str, str]) -> None:
        """Name what the step made by where it lies; its bytes are not copied."""
        self._try(lambda: self._log_artifact(name, "step-output", addresses))

    def link_version(self, name: str, manifest: str, aliases: list[str]) -> None:
        """Name a version of the registry by the address of its manifest, as a model of W&B with these aliases."""
        self._try(lambda: self._log_artifact(name, "model", {"manifest.json": manifest}, aliases))

    def warn(self, title: str, text: str) -> None:
        """Have W&B tell people, by whatever way they have chosen there."""
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
            # Whatever W&B raises, of whatever class, hours of training must not end by it.
            log.warning("W&B failed (%s: %s): the rest of this step is not tracked.", type(error).__name__, error)
            self._run = None


_current: ContextVar[Tracker] = ContextVar("tracker")


def current_tracker() -> Tracker:
    """The tracker of the step that is running, for curves while they grow; outside of one, a tracker without effect."""
    return _current.get(Tracker())


@contextmanager
def tracking_run(context: TrackingContext, step: str, config: dict[str, Any]) -> Iterator[Tracker]:
    """Open the tracking run of one step; tracking that fails is a warning, the step's own errors pass through."""
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
    """Give a W&B run, None when there is none. After one failure to reach the server, runs are offline."""
    if _mode() == "disabled":
        return None
    global _is_reachable
    import wandb

    is_online = _is_reachable and _mode() == "online"
    folder = context.folder / step
    folder.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(
        mode="online" if is_online else "offline",
        silent=True,
        console="off",
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        disable_git=True,
        save_code=False,
        x_disable_stats=True,
        # Listing every installed package takes longer than a cached step; the key names those that count.
        x_save_requirements=False,
    )
    try:
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
        # Its settings alone can raise errors of other libraries; none of them is worth a flow run.
        if not is_online:
            log.warning("W&B cannot write to %s (%s): this step is not tracked.", folder, error)
            return None
        _is_reachable = False
        log.warning("W&B did not answer (%s): from here on tracking is offline, now in %s.", error, context.folder)
        return _open(context, step, config)


def _mode() -> str:
    """What W&B's own variables ask for; offline without a key, since W&B would otherwise stop and ask for one."""
    return os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
