"""Trainings shared with other workers through the cache.

Each training but the first becomes a run of the deployment `train/train` in a separate work pool, the last one first.
The sharing run starts with the first training: it waits for those in progress elsewhere, finds finished ones cached,
and does the others itself. So it depends on no other worker, and blocks none.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.runtime import flow_run
from prefect.states import Cancelling

from schemas.records.request import TrainRequest
from schemas.settings import without_password
from tasks.services.local.supervisor import TRAINING_POOL

log = logging.getLogger(__name__)


@contextmanager
def shared(requests: Sequence[TrainRequest]) -> Iterator[None]:
    """Offer trainings to the workers of the training pool during the body; cancel the unfinished ones at the end."""
    if not requests:
        yield
        return
    offered: list[UUID] = []
    with get_client(sync_client=True) as client:
        try:
            with _optional("They run here"):
                if _has_workers(client):
                    _offer(client, requests, offered)
            yield
        finally:
            for run_id in offered:
                with _optional("It ends by itself"):
                    _cancel(client, run_id)


@contextmanager
def _optional(instead: str) -> Iterator[None]:
    """Log failures of Prefect's server: sharing is optional and must not end a training."""
    try:
        yield
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("Sharing trainings with other workers failed (%s). %s.", without_password(str(error)), instead)


def _has_workers(client: SyncPrefectClient) -> bool:
    try:
        workers = client.read_workers_for_work_pool(TRAINING_POOL)
    except ObjectNotFound:
        return False
    return any(worker.status == WorkerStatus.ONLINE for worker in workers)


def _offer(client: SyncPrefectClient, requests: Sequence[TrainRequest], offered: list[UUID]) -> None:
    """Create a flow run for each, the last one first, and append its id to `offered`; idempotent after a restart."""
    deployment = client.read_deployment_by_name("train/train")
    log.info("%d trainings are offered to workers of the pool %s", len(requests), TRAINING_POOL)
    for request in reversed(requests):
        created = client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"request": request.model_dump(mode="json")},
            idempotency_key=f"{flow_run.id}-{request.step}",
        )
        offered.append(created.id)


def _cancel(client: SyncPrefectClient, run_id: UUID) -> None:
    state = client.read_flow_run(run_id).state
    if state and not state.is_final():
        client.set_flow_run_state(run_id, Cancelling())
