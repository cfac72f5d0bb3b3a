"""Promotion: manifest of a trained candidate, and the event in the model's log that points an alias at it.

Promotion is never cached: the log is read each time, and the event gets the number after the log from which the gate's
champion was read. A run that loses the race for that number must gate again.
"""

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.frozen import canonical_json, content_of, digest_of
from schemas.recipe.recipe import Recipe
from schemas.recipe.training import Training
from schemas.records.references import PretrainedRef, RowsRef, TrainedRef
from schemas.records.verdict import Verdict
from schemas.records.versions import Base, Event, Manifest, ModelLog
from schemas.settings import read_settings
from tasks.services.cache.records import RETRIES
from tasks.services.local.object_store import current_store
from tasks.services.registry.doctor import check_store
from tasks.services.registry.log import explain_event, next_event
from tasks.services.registry.verification import check_version
from tasks.services.registry.versions import append_event

SHAPING_PARTS = ("problem", "augmentation", "tuning", "training")


def make_manifest(
    recipe: Recipe,
    training: Training,
    trained: TrainedRef,
    pretrained: PretrainedRef,
    rows: RowsRef,
    validation: RowsRef,
) -> Manifest:
    """Make the manifest of a trained model, whatever its verdict will be.

    training: of the chosen seed, with the learning rate used
    """
    shaping = recipe.model_copy(update={"training": training})
    data = {"train": rows.digest, "validation": validation.digest}
    licence = recipe.data.train.licence
    return Manifest(
        model=recipe.promotion.model,
        files=trained.files,
        base=Base(source=pretrained.source, digest=pretrained.digest, licence=pretrained.licence),
        recipe={part: content_of(getattr(shaping, part)) for part in SHAPING_PARTS},
        data=data,
        # Validation rows are split off those of train.
        data_licences=dict.fromkeys(data, licence) if licence else {},
        code=trained.code,
        environment=trained.environment,
    )


def make_event(log: ModelLog, alias: str, version: str, verdict: Verdict, rows: RowsRef, reason: str = "") -> Event:
    """Make the event of a verdict; `log` is the one from which the gate's champion was read."""
    gate = digest_of(verdict.model_dump(mode="json"))
    why = explain_event(reason, verdict)
    return next_event(log, alias, version, why, gate_sha256=gate, evaluation_set_sha256=rows.digest)


@task(name="release", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=3600, **RETRIES)
def release_version(model: str, event: Event) -> Event:
    """Append the event of a manual release. Raises Conflict when the log has moved since."""
    store = current_store()
    check_store(store, read_settings().home)
    append_event(store, model, event)
    return event


@task(name="promote", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=3600, **RETRIES)
def promote_version(model: str, event: Event, verdict: Verdict) -> Event:
    """Store the verdict and append the event. Raises Conflict when the log has moved since the event was made.

    The event is made before, with its nonce, so that a retry after a lost response recognises its own success. Every
    byte is first read from the store and not from local copies. Raises Corrupt.
    """
    store = current_store()
    check_store(store, read_settings().home)
    check_version(store, model, event.to_version)
    append_event(store, model, event, canonical_json(verdict.model_dump(mode="json")))
    return event
