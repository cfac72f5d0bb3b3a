"""Runs that were cut off with the whole stack: nobody else would ever tell the server that they have ended."""

import contextlib
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
from prefect.states import Cancelled, Crashed

from tasks.services.stack import POOL

STARTED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def tell_cut_off() -> list[str]:
    """Say of each run that has begun and has no process that it has crashed; give their names.

    To be asked before the worker starts. Of a run that stays `Running` others of its deployment would wait for ever.
    """
    with get_client(sync_client=True) as client:
        alive = _with_a_process()
        cut_off = [run for run in _begun(client) if str(run.id) not in alive]
        for run in cut_off:
            client.set_flow_run_state(run.id, _ended(run), force=True)
        return [run.name for run in cut_off]


def _ended(run: FlowRun) -> State[Any]:
    return Cancelled() if run.state_type == StateType.CANCELLING else Crashed(message="The stack had ended.")


def _begun(client: SyncPrefectClient) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=STARTED))),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
    )


def _with_a_process() -> set[str]:
    """The runs of processes, by what Prefect puts into their environment."""
    found = set[str]()
    for process in psutil.process_iter():
        # One that is not ours to look at, or that ends meanwhile.
        with contextlib.suppress(psutil.Error):
            found.add(process.environ().get("PREFECT__FLOW_RUN_ID", ""))
    return found
