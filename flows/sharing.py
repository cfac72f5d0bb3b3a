"""Trainings shared with other workers, by the cache.

Each training but the first becomes a run of the deployment `train/train` in a work pool of its own, the last one first.
The run that shares them begins at the front: what another is at work on it waits for, what is done it finds cached,
and what nobody has begun it does itself. So it needs none of them, and holds no worker that another waits for.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import flow_run
from prefect.states import Cancelling

from schemas.request import TrainRequest
from tasks.services.stack import TRAINING_POOL

log = logging.getLogger(__name__)


@contextmanager
def shared(requests: Sequence[TrainRequest]) -> Iterator[None]:
    """Offer trainings to the workers that are there for them, and call off at the end what is not done by then."""
    if not requests:
        yield
        return
    with get_client(sync_client=True) as client:
        offered = _offer(client, requests) if _has_workers(client) else []
        try:
            yield
        finally:
            for number in offered:
                _call_off(client, number)


def _has_workers(client: SyncPrefectClient) -> bool:
    try:
        workers = client.read_workers_for_work_pool(TRAINING_POOL)
    except ObjectNotFound:
        return False
    return any(worker.status == WorkerStatus.ONLINE for worker in workers)


def _offer(client: SyncPrefectClient, requests: Sequence[TrainRequest]) -> list[UUID]:
    """Make a run of each, the last one first."""
    deployment = client.read_deployment_by_name("train/train")
    log.info("%d trainings are offered to the workers of the pool %s", len(requests), TRAINING_POOL)
    return [
        client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"request": request.model_dump(mode="json")},
            # What is tried again must not be offered twice.
            idempotency_key=f"{flow_run.id}-{flow_run.run_count}-{request.step}",
        ).id
        for request in reversed(requests)
    ]


def _call_off(client: SyncPrefectClient, number: UUID) -> None:
    try:
        state = client.read_flow_run(number).state
        if state and not state.is_final():
            client.set_flow_run_state(number, Cancelling())
    except (PrefectHTTPStatusError, httpx.TransportError) as error:
        log.warning("The shared training %s could not be called off (%s); it ends by itself.", number, error)
