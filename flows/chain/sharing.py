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
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.runtime import flow_run
from prefect.states import Cancelling

from schemas.records.request import TrainRequest
from schemas.settings import without_password
from tasks.services.local.supervisor import TRAINING_POOL

log = logging.getLogger(__name__)


@contextmanager
def shared(requests: Sequence[TrainRequest]) -> Iterator[None]:
    """Offer trainings to the workers that are there for them, and call off at the end what is not done by then."""
    if not requests:
        yield
        return
    offered: list[UUID] = []
    with get_client(sync_client=True) as client:
        try:
            with _optional("They are not shared"):
                if _has_workers(client):
                    _offer(client, requests, offered)
            yield
        finally:
            for number in offered:
                with _optional("It ends by itself"):
                    _call_off(client, number)


@contextmanager
def _optional(instead: str) -> Iterator[None]:
    """The run can do without; whatever Prefect's server says, its trainings must not end by it."""
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
    """Make a run of each, the last one first, and note its number; a run that is started again makes no others."""
    deployment = client.read_deployment_by_name("train/train")
    log.info("%d trainings are offered to the workers of the pool %s", len(requests), TRAINING_POOL)
    for request in reversed(requests):
        made = client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"request": request.model_dump(mode="json")},
            idempotency_key=f"{flow_run.id}-{request.step}",
        )
        offered.append(made.id)


def _call_off(client: SyncPrefectClient, number: UUID) -> None:
    state = client.read_flow_run(number).state
    if state and not state.is_final():
        client.set_flow_run_state(number, Cancelling())
