"""Execution of a flow's steps: the protocol `Steps`, and `Run`, which looks up, calls, times and tracks each."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from time import perf_counter
from typing import Any, Protocol, TypeVar

from prefect import Task
from prefect.exceptions import ExternalSignal
from prefect.task_engine import TaskRunTimeoutError

from flows.chain.recomputation import Own, Recomputation
from flows.chain.sharing import shared
from schemas.errors import Preempted, TimeLimit, TunegateError, Unavailable
from schemas.frozen import Frozen, digest_of
from schemas.records.references import Blob, ModelRef, ScoresRef, TrainedRef
from schemas.records.request import TrainRequest
from schemas.records.steps import StepRecord, StepState
from schemas.records.verdict import Verdict
from schemas.records.versions import Manifest
from schemas.settings import read_settings
from tasks.services.cache.checkpoints import clear_checkpoints
from tasks.services.cache.keys import Key, check_code, key_of
from tasks.services.cache.records import RETRIES, look_up, remember, result_of, take_own, without_cache
from tasks.services.local.object_store import current_store
from tasks.services.process.memory_limit import limited_memory
from tasks.services.process.meter import Stopwatch
from tasks.services.process.signals import raise_if_signalled, raise_on_sigterm
from tasks.services.registry.documents import attach_card
from tasks.services.registry.versions import add_version, read_manifest
from tasks.services.storage.leases import sole_worker
from tasks.services.storage.store import blob_key
from tasks.services.tracking.wandb_runs import Tracker, TrackingContext, tracking_run

R = TypeVar("R")
log = logging.getLogger(__name__)


class CachedSteps(Protocol):
    def call(self, name: str, step: Task[..., R], **arguments: Any) -> R:
        """Return the result of a cached step."""


class Steps(CachedSteps, Protocol):
    """The chain's access to its steps: `Run` calls them, `Forecast` predicts cache hits."""

    def again(self) -> Recomputation:
        """Return the cached steps without their records."""

    def shared(self, step: Task[..., Any], calls: dict[str, dict[str, Any]]) -> AbstractContextManager[None]:
        """Offer calls of a step, by name, to other workers while the body makes the same calls."""

    def act(self, name: str, step: Task[..., R], **arguments: Any) -> R:
        """Return the result of a step with side effects, which is never cached."""

    def commit(self, manifest: Manifest, installed: dict[str, str]) -> None:
        """Add a trained model to the registry, with the distributions installed during its training."""

    def describe(self, name: str, version: str, verdict: Verdict, card: Callable[[Manifest], str]) -> None:
        """Attach a version's model card for a verdict."""

    def note_from(self, first: str, state: StepState) -> None:
        """Record the planned steps from `first` on with this state, as the run ends before them."""


class Run:
    """The steps of one flow run, recorded as they end; `planned` are those of every such run."""

    def __init__(self, tracking: TrackingContext, recipe_name: str, planned: tuple[str, ...] = ()) -> None:
        self.tracking = tracking
        self.records: list[StepRecord] = []
        self.resumed_from_step: int | None = None
        self._recipe_name, self._planned, self._begun = recipe_name, planned, perf_counter()
        self._own: list[Own] = []
        raise_on_sigterm()

    @property
    def seconds(self) -> float:
        return perf_counter() - self._begun

    def call(self, name: str, step: Task[..., Any], **arguments: Any) -> Any:
        """Run a step, or return its cached result. Raises the step's errors, StoreError when the store fails.

        Prefect treats a failing store as a miss, and a result that was not stored as done, so the record is looked up
        here, before and after. Of several processes that miss the same key one runs the step, the others wait.
        """
        key, store = key_of(step, arguments), current_store()
        with sole_worker(store, key.path, lambda: look_up(key.path)) as record:
            state: StepState = "ran" if record is None else "cached"
            config = {"state": state, "key": key.path, **key.model_dump(mode="json")}
            with self._tracked(name, state, key.path, config, _saved(record)) as tracker:
                if state == "ran":
                    check_code(step, key)
                with _in_limits(name, step):
                    result = step(**arguments, return_state=True).result()
                if state == "ran":
                    result = _recorded(name, key)
                    own = take_own(key.path)
                    self._own += [Own(step, arguments, own)] if own else []
                _track(tracker, name, result)
            self.resumed_from_step = tracker.summary.get("resumed_from_step", self.resumed_from_step)
            # After a hit too: a killed run may have left them.
            clear_checkpoints(store, key.path)
        remember(self._recipe_name, name, key)
        return result

    def again(self) -> Recomputation:
        return Recomputation(self._compute, self._own)

    def shared(self, step: Task[..., Any], calls: dict[str, dict[str, Any]]) -> AbstractContextManager[None]:
        assert step.name == "train", "other workers have a deployment for trainings only"
        run = {"recipe": self._recipe_name, "project": self.tracking.project, "group": self.tracking.group}
        return shared([TrainRequest(step=name, **run, **arguments) for name, arguments in calls.items()])

    def commit(self, manifest: Manifest, installed: dict[str, str]) -> None:
        add_version(current_store(), manifest, installed)

    def describe(self, name: str, version: str, verdict: Verdict, card: Callable[[Manifest], str]) -> None:
        store = current_store()
        manifest = read_manifest(store, name, version)
        attach_card(store, manifest, digest_of(verdict.model_dump(mode="json")), card(manifest).encode())

    def act(self, name: str, step: Task[..., Any], **arguments: Any) -> Any:
        with self._tracked(name, "ran", None, {"step": name}) as tracker, _in_limits(name, step):
            result = step(**arguments, return_state=True).result()
            tracker.summarize(result.model_dump(mode="json"))
        return result

    def _compute(self, name: str, step: Task[..., Any], **arguments: Any) -> Any:
        with self._tracked(name, "ran", None, {"step": name}) as tracker, _in_limits(name, step):
            result = without_cache(step, name)(**arguments, return_state=True).result()
            _track(tracker, name, result)
        return result

    def note_from(self, first: str, state: StepState) -> None:
        for name in self._planned[self._planned.index(first) :]:
            self.records.append(StepRecord(name=name, state=state, seconds=0.0, key=None))
            log.info("%-18s %s", name, state)

    @contextmanager
    def _tracked(
        self, name: str, state: StepState, key: str | None, config: dict[str, Any], saved_seconds: float = 0.0
    ) -> Iterator[Tracker]:
        raise_if_signalled()
        watch = Stopwatch()
        log.info("%-18s %s", name, "..." if state == "ran" else "cached")
        try:
            with tracking_run(self.tracking, name, config) as tracker:
                yield tracker
        except BaseException as error:
            # A panic of Rust, which is no Exception, is a failure too.
            is_interrupted = isinstance(error, KeyboardInterrupt | ExternalSignal)
            self._record(name, "interrupted" if is_interrupted else "failed", watch, key)
            if isinstance(error, TunegateError | Preempted):
                error.steps = tuple(self.records)
            raise
        self._record(name, state, watch, key, saved_seconds)

    def _record(
        self, name: str, state: StepState, watch: Stopwatch, key: str | None, saved_seconds: float = 0.0
    ) -> None:
        record = StepRecord(name=name, state=state, key=key, saved_seconds=saved_seconds, **watch.read())
        self.records.append(record)
        if state != "cached":
            log.info("%-18s %s, %.1f s", name, state, record.seconds)


def _recorded(name: str, key: Key) -> Frozen:
    """Return the recorded result of a step that ran: another worker's, if that was first."""
    record = look_up(key.path)
    if record is None:
        raise Unavailable(f"{name}: the step ran, but its result could not be stored. Run again.")
    return result_of(record)


def _saved(record: bytes | None) -> float:
    """Return the seconds of a cached training; other results do not include theirs."""
    result = result_of(record) if record else None
    return result.cost.seconds if isinstance(result, TrainedRef) else 0.0


@contextmanager
def _in_limits(name: str, step: Task[..., Any]) -> Iterator[None]:
    """Enforce the memory limit on a step, and translate its time-out. Raises MemoryLimit, TimeLimit."""
    try:
        with limited_memory(name, read_settings().memory_gb):
            yield
    except TaskRunTimeoutError:
        limit = timedelta(seconds=step.timeout_seconds or 0)
        raise TimeLimit(
            f"{name}: no attempt of {RETRIES['retries'] + 1} ended within {limit}. If it hung, check what it waits "
            "for (processes, disk, network); then run again: finished steps are not repeated, and training resumes "
            "from its last checkpoint."
        ) from None


def _track(tracker: Tracker, name: str, result: Frozen) -> None:
    fields = result.model_dump(mode="json")
    tracker.summarize({name: value for name, value in fields.items() if isinstance(value, str | int | float)})
    if isinstance(result, ScoresRef):
        tracker.summarize(result.scores)
    if isinstance(result, Verdict):
        columns = ["rule", "decision", "measured", "low", "high", "limit"]
        rows = [[r.name, r.decision, r.measured, *r.interval, r.limit] for r in result.rules]
        tracker.table("rules", columns, rows)
    bucket = current_store().bucket
    addresses = {part: f"s3://{bucket}/{blob_key(blob.digest)}" for part, blob in _outputs(result)}
    if addresses:
        tracker.lineage(name, addresses)


def _outputs(result: Frozen) -> Iterator[tuple[str, Blob]]:
    if isinstance(result, Blob):
        yield "output", result
        return
    fields = result.files if isinstance(result, ModelRef) else dict(result)
    yield from ((name, value) for name, value in fields.items() if isinstance(value, Blob))
