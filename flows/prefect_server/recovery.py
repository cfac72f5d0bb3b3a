"""Runs that were cut off with the whole stack: nobody else would ever tell the server that they have ended."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Crashed, Scheduled

from tasks.services.local.supervisor import POOLS

UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING, StateType.CRASHED]
STARTED_AGAIN = "retrain"
"""The tag of runs that an automation starts again when they crash; while the server starts it may miss one."""
RECENT = timedelta(days=1)
MESSAGE = "The whole stack had ended."


def take_up() -> list[str]:
    """Say of each run that has begun and has no process how it goes on; give the names of these runs.

    To be asked before the worker starts. Of a run that stays `Running` others of its deployment would wait for ever.
    """
    with get_client(sync_client=True) as client:
        alive = _with_a_process()
        cut_off = [run for run in _unfinished(client) if str(run.id) not in alive]
        for run in cut_off:
            client.set_flow_run_state(run.id, _next(run), force=True)
        return [run.name for run in cut_off]


def _next(run: FlowRun) -> State[Any]:
    if run.state_type == StateType.CANCELLING:
        return Cancelled()
    return Scheduled(name="Rescheduled", message=MESSAGE) if STARTED_AGAIN in run.tags else Crashed(message=MESSAGE)


def _unfinished(client: SyncPrefectClient) -> list[FlowRun]:
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=list(POOLS))),
    )
    return [run for run in runs if run.state_type != StateType.CRASHED or _was_missed(run)]


def _was_missed(run: FlowRun) -> bool:
    """Whether the automation would have started it again, not long ago."""
    is_recent = run.state is not None and datetime.now(UTC) - run.state.timestamp < RECENT
    return is_recent and STARTED_AGAIN in run.tags and run.run_count > 0


def _with_a_process() -> set[str]:
    """The runs of processes, by what Prefect puts into their environment.

    What a run has started inherits that, and may outlive it; only Prefect's own command is the run.
    """
    found = set[str]()
    for process in psutil.process_iter():
        # One that is not ours to look at, or that ends meanwhile.
        with contextlib.suppress(psutil.Error):
            if "prefect" in " ".join(process.cmdline()[1:]):
                found.add(process.environ().get("PREFECT__FLOW_RUN_ID", ""))
    return found
