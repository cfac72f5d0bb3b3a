"""Recovery of flow runs that were interrupted when the whole stack stopped."""

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
RESTARTED = "retrain"
"""The tag of runs that an automation restarts after a crash; it may miss one while the server starts."""
RECENT = timedelta(days=1)
MESSAGE = "The whole stack had ended."


def recover_runs() -> list[str]:
    """Set the state of each unfinished run without a process; return the names of these runs.

    Call it before the worker starts. A run that stays `Running` blocks others of its deployment for ever.
    """
    with get_client(sync_client=True) as client:
        alive = _with_a_process()
        interrupted = [run for run in _unfinished(client) if str(run.id) not in alive]
        for run in interrupted:
            client.set_flow_run_state(run.id, _next(run), force=True)
        return [run.name for run in interrupted]


def _next(run: FlowRun) -> State[Any]:
    if run.state_type == StateType.CANCELLING:
        return Cancelled()
    return Scheduled(name="Rescheduled", message=MESSAGE) if RESTARTED in run.tags else Crashed(message=MESSAGE)


def _unfinished(client: SyncPrefectClient) -> list[FlowRun]:
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=list(POOLS))),
    )
    return [run for run in runs if run.state_type != StateType.CRASHED or _was_missed(run)]


def _was_missed(run: FlowRun) -> bool:
    """Whether the automation should have restarted a run recently."""
    is_recent = run.state is not None and datetime.now(UTC) - run.state.timestamp < RECENT
    return is_recent and RESTARTED in run.tags and run.run_count > 0


def _with_a_process() -> set[str]:
    """Return the ids of runs with a process, from the environment of Prefect's own processes.

    Child processes inherit the id and may outlive their run, so they do not count.
    """
    found = set[str]()
    for process in psutil.process_iter():
        # Another user's process, or one that ends during the loop.
        with contextlib.suppress(psutil.Error):
            if "prefect" in " ".join(process.cmdline()[1:]):
                found.add(process.environ().get("PREFECT__FLOW_RUN_ID", ""))
    return found
