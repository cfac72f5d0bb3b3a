"""Forecast of a flow run: a cache hit or miss for each step, and the reason for a miss."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from prefect import Task

from flows.chain.recomputation import Recomputation
from schemas.records.outcome import PlannedStep
from schemas.records.steps import StepState
from schemas.records.verdict import Verdict
from schemas.records.versions import Manifest
from tasks.services.cache.keys import Key, key_of
from tasks.services.cache.records import last_key, look_up, result_of


class Missed(Exception):
    """A step would run, so the steps that depend on it are unknown."""


class Forecast:
    """Implementation of `flows.chain.steps.Steps` that reads the cache and changes nothing."""

    def __init__(self, recipe_name: str, planned: tuple[str, ...]) -> None:
        self._recipe_name, self._planned = recipe_name, planned
        self._steps: list[PlannedStep] = []

    @property
    def steps(self) -> list[PlannedStep]:
        """The known steps, then the planned ones that depend on a miss."""
        known = {step.name for step in self._steps}
        return self._steps + [PlannedStep(name=name, state="pending") for name in self._planned if name not in known]

    def call(self, name: str, step: Task[..., Any], **arguments: Any) -> Any:
        """Return the cached result. Raises Missed without one, StoreError when the store fails."""
        key = key_of(step, arguments)
        record = look_up(key.path)
        if record is None:
            raise self._miss(name, describe_changes(last_key(self._recipe_name, name), key))
        self._steps.append(PlannedStep(name=name, state="hit"))
        return result_of(record)

    def again(self) -> Recomputation:
        """Return the cached results once more, without listing them twice."""
        return Recomputation(Forecast(self._recipe_name, ()).call, [])

    @contextmanager
    def shared(self, step: Task[..., Any], calls: dict[str, dict[str, Any]]) -> Iterator[None]:
        """Forecast the other calls after a miss too: they are independent."""
        try:
            yield
        except Missed:
            known = {found.name for found in self._steps}
            for name, arguments in calls.items():
                if name not in known:
                    with suppress(Missed):
                        self.call(name, step, **arguments)
            raise

    def act(self, name: str, step: Task[..., Any], **arguments: Any) -> Any:
        """Raise Missed: a step with side effects always runs."""
        raise self._miss(name, ("it is never cached",))

    def commit(self, manifest: Manifest, installed: dict[str, str]) -> None:
        """Leave the registry unchanged."""

    def describe(self, name: str, version: str, verdict: Verdict, card: Callable[[Manifest], str]) -> None:
        """Leave the registry unchanged."""

    def note_from(self, first: str, state: StepState) -> None:
        for name in self._planned[self._planned.index(first) :]:
            is_hit = state == "unchanged"
            changed = () if is_hit else ("the run ends before it",)
            self._steps.append(PlannedStep(name=name, state="hit" if is_hit else "pending", changed=changed))

    def _miss(self, name: str, changed: tuple[str, ...]) -> Missed:
        self._steps.append(PlannedStep(name=name, state="miss", changed=changed))
        return Missed(name)


def describe_changes(old: Key | None, new: Key) -> tuple[str, ...]:
    if old is None:
        return ("it never ran for this recipe",)
    if old.format != new.format:
        return (f"keys of format {old.format} are an earlier tunegate's: each step runs once more",)
    changed: list[str] = []
    for part in ("params", "inputs", "env"):
        changed += _describe_differences(getattr(old, part), getattr(new, part), part)
    changed += ["code"] if old.code != new.code else []
    changed += _describe_differences(old.salt, new.salt, "params.salt")
    return tuple(changed) or ("its record, or a blob that it names, is missing",)


def _describe_differences(old: Any, new: Any, where: str) -> list[str]:
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(old.keys() | new.keys())
        return [
            line for name in names for line in _describe_differences(old.get(name), new.get(name), f"{where}.{name}")
        ]
    kind, _, name = where.partition(".")
    if kind == "inputs":
        return [f"content of {name}"]
    if isinstance(old, list) and isinstance(new, list):
        return [f"{name} {_describe_items(old, new)}"]
    return [f"{name} {_short(old)} -> {_short(new)}"]


def _describe_items(old: list[Any], new: list[Any]) -> str:
    lost = [f"without {_short(item)}" for item in old if item not in new]
    gained = [f"with {_short(item)}" for item in new if item not in old]
    return ", ".join(lost + gained) or "in another order"


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
