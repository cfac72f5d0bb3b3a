"""Flows for the worker of a local stack, whose steps do not end by themselves in time or in memory."""

import os
import time

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.chain.steps import Run
from schemas.records.verdict import Verdict
from schemas.settings import Settings
from tasks.services.cache.records import RETRIES
from tasks.services.process.memory_limit import GIGABYTE, held_bytes
from tasks.services.tracking.wandb_runs import TrackingContext

QUICKLY = RETRIES | {"retry_delay_seconds": [0.1]}
VERDICT = Verdict(decision="refuse", rules=(), rows=1)


@task(name="hang", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=2, **QUICKLY)
def hang_long() -> Verdict:
    time.sleep(300)
    return VERDICT


@task(name="hoard", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=60, **QUICKLY)
def hoard_much() -> Verdict:
    held = [b"x" * 50_000_000 for _ in range(30)]
    time.sleep(30)
    return VERDICT.model_copy(update={"rows": len(held)})


@flow(name="hang", persist_result=False)
def hang() -> None:
    _chain().act("hang", hang_long)


@flow(name="hoard", persist_result=False)
def hoard() -> None:
    os.environ["TUNEGATE_MEMORY_GB"] = str(held_bytes() / GIGABYTE + 0.5)
    _chain().act("hoard", hoard_much)


def _chain() -> Run:
    return Run(TrackingContext(project="limited", group="limited", folder=Settings().home / "wandb"), "limited")
