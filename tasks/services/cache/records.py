"""Records of step results, and the decorator that turns a step's function into a cached Prefect task.

A record is a small JSON object under `cache/<step>/<key>.json` that includes the parts of its key. Prefect's own
serializers can execute code from a record, so ours accepts only the models in RESULTS and treats anything else as a
miss. Prefect hides storage failures, so the flow calls `look_up`, which raises them, before and after each step.
"""

import functools
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.filesystems import WritableFileSystem
from prefect.serializers import Serializer
from pydantic import Field, ValidationError

from schemas.errors import Unavailable
from schemas.frozen import Frozen, canonical_json
from schemas.records.comparison import ComparisonRef
from schemas.records.references import (
    AnswersRef,
    Blob,
    ContractRef,
    CostsRef,
    LoadedRef,
    ReportRef,
    RowsRef,
    ScoresRef,
    SourcesRef,
    SplitRef,
    TokensPairRef,
    TrainedRef,
)
from schemas.records.verdict import Verdict
from tasks.services.cache.keys import COMPUTED, ContentKey, Key
from tasks.services.local.object_store import current_store

P = ParamSpec("P")
R = TypeVar("R")
SERIALIZER = "tunegate-json"
# Also a step's time limit: training resumes from its last checkpoint.
TRANSIENT = (Unavailable, ConnectionError, TimeoutError)
KEY_PATTERN = re.compile(r"[a-z][a-z0-9-]*/[0-9a-f]{64}")
RESULTS: dict[str, type[Frozen]] = {
    model.__name__: model
    for model in (
        SourcesRef,
        ContractRef,
        SplitRef,
        RowsRef,
        TokensPairRef,
        TrainedRef,
        ScoresRef,
        AnswersRef,
        CostsRef,
        LoadedRef,
        Verdict,
        ReportRef,
        ComparisonRef,
    )
}
log = logging.getLogger(__name__)


# Results of steps that ran in this process, as they were before the store had them; `take_own` removes them.
_own: dict[str, bytes] = {}
# The valid records this process last looked up, from which Prefect reads: a store that fails between the flow's look-up
# and Prefect's must not turn a hit into a silent second training.
_found: dict[str, bytes] = {}


class RecordJSON(Serializer):
    """JSON serializer of the models in RESULTS, and nothing else."""

    # Serializer[Any] instead of Serializer cannot be registered (Prefect 3.8.8).

    type: str = Field(default=SERIALIZER, frozen=True)

    def dumps(self, obj: Any) -> bytes:
        if isinstance(obj, BaseException):
            # Prefect serializes a failed task's exception; StoreRecords does not keep it.
            return canonical_json({"kind": "failure", "value": type(obj).__name__})
        if RESULTS.get(type(obj).__name__) is not type(obj):
            raise TypeError(f"{type(obj).__name__} cannot be stored in a record; add it to RESULTS")
        return canonical_json({"kind": type(obj).__name__, "value": obj.model_dump(mode="json")})

    def loads(self, blob: bytes) -> Frozen:
        record = json.loads(blob)
        return RESULTS[record["kind"]].model_validate(record["value"])


class StoreRecords(WritableFileSystem):
    """Prefect's result storage: records in the object store."""

    _block_type_name = "Tunegate records"
    _block_type_slug = "tunegate-records"

    def _resolve_path(self, path: str) -> str:
        return path

    # Prefect declares both as coroutines and calls them as functions, with _sync (3.8.8).
    def read_path(self, path: str, _sync: bool = True) -> bytes:  # type: ignore[override]
        record = _found.get(path) or look_up(path)
        if record is None:
            raise ValueError(f"no record {path}")
        return record

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> str:  # type: ignore[override]
        # A failed task's exception comes under a random name; the log has it, so it is not stored.
        if KEY_PATTERN.fullmatch(path):
            _write(path, content)
        return path

    async def aread_path(self, path: str) -> bytes:
        return self.read_path(path)

    async def awrite_path(self, path: str, content: bytes) -> str:
        return self.write_path(path, content)


def look_up(path: str) -> bytes | None:
    """Return a valid record, None on a miss; a store failure raises and is never a miss."""
    _found.pop(path, None)
    store = current_store()
    raw = store.read(_record_key(path))
    if raw is None:
        return None
    try:
        record = json.loads(raw)
        if record["metadata"]["serializer"] != {"type": SERIALIZER}:
            raise ValueError(f"its serializer is {record['metadata']['serializer']}")
        result = result_of(raw)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        _warn_once(f"Ignored an invalid record, cache/{path}.json: {error}. The step will run.")
        return None
    missing = [blob.digest for blob in _blobs(result) if not store.holds(blob)]
    if missing:
        _warn_once(f"The record cache/{path}.json lacks its blob {missing[0]}. The step will run and restore it.")
        return None
    _found[path] = raw
    return raw


@functools.cache
def _warn_once(text: str) -> None:
    """Log a text once: a waiter looks up its record every second."""
    log.warning(text)


def take_own(path: str) -> Frozen | None:
    """Return, once, the result that this process computed for a key: nobody else can have altered it."""
    record = _own.pop(path, None)
    return result_of(record) if record else None


def result_of(record: bytes) -> Frozen:
    return RecordJSON().loads(json.loads(record)["result"].encode())


def remember(recipe_name: str, step: str, key: Key) -> None:
    """Note the last key of a recipe's step, to explain later misses."""
    current_store().replace(_last_key(recipe_name, step), canonical_json(key.model_dump(mode="json")))


def last_key(recipe_name: str, step: str) -> Key | None:
    """Return the last key of a recipe's step, None without a readable one."""
    raw = current_store().read(_last_key(recipe_name, step))
    try:
        return Key.model_validate_json(raw) if raw else None
    except ValidationError:
        return None


def count_records(step: str, **inputs: str) -> int:
    """Count a step's records whose inputs had these digests."""
    store, count = current_store(), 0
    for name in store.list_keys(f"cache/{step}/"):
        try:
            key = Key.model_validate(json.loads(store.read(name) or b"{}").get("key"))
        except (ValueError, AttributeError):
            # An invalid record, of which `look_up` warns.
            continue
        count += inputs.items() <= key.inputs.items()
    return count


def _last_key(recipe_name: str, step: str) -> str:
    return f"last-keys/{recipe_name}/{step}.json"


def is_transient(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure may pass by itself; a retry of any other fails again."""
    return isinstance(state.result(raise_on_failure=False), TRANSIENT)


RETRIES: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [2, 10],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_transient,
}


def cached_task(step: str, salt: int = 0, hours: float = 4.0) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Turn a step's function into a Prefect task with a content key, a stored record and retries.

    Raise `salt` when the meaning of something outside the digested code has changed. An attempt longer than `hours`
    counts as a transient failure.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        made = task(
            name=step,
            cache_policy=ContentKey(step=step, module=function.__module__, salt=salt),
            persist_result=True,
            cache_result_in_memory=False,
            result_serializer=RecordJSON(),
            timeout_seconds=hours * 3600,
            **RETRIES,
        )(function)
        # The decorator refuses a block that no server has saved (Prefect 3.8.8); the attribute takes it.
        made.result_storage = StoreRecords()
        return made

    return decorate


def without_cache(step: Task[P, R], name: str) -> Task[P, R]:
    """Return a cached step as a task that reads and writes no record."""
    seconds = step.timeout_seconds
    made = task(name=name, cache_policy=NO_CACHE, persist_result=False, timeout_seconds=seconds, **RETRIES)
    return made(step.fn)


def _write(path: str, content: bytes) -> None:
    store = current_store()
    _own[path] = content
    record = json.loads(content) | {"key": COMPUTED[path].model_dump(mode="json")}
    encoded = canonical_json(record)
    if not store.create(_record_key(path), encoded) and look_up(path) is None:
        # The existing record is damaged or names missing blobs: repair it.
        store.replace(_record_key(path), encoded)


def _record_key(path: str) -> str:
    return f"cache/{path}.json"


def _blobs(value: Any) -> Iterator[Blob]:
    if isinstance(value, Blob):
        yield value
    elif isinstance(value, Frozen):
        for name in type(value).model_fields:
            yield from _blobs(getattr(value, name))
    elif isinstance(value, dict | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _blobs(item)
