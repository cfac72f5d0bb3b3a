"""What running a recipe would do: per step a hit or a miss, and what changed, before anything starts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from prefect import Task

from schemas.records.outcome import PlannedStep
from schemas.records.steps import StepState
from schemas.records.verdict import Verdict
from schemas.records.versions import Manifest
from tasks.services.cache.keys import Key, key_of
from tasks.services.cache.records import last_key, look_up, result_of
from tasks.training import train_model


class Missed(Exception):
    """A step would run, so what comes after it cannot be known yet."""


class Forecast:
    """Stands where a Chain stands and answers from the cache; it changes nothing."""

    def __init__(self, recipe_name: str) -> None:
        self._recipe_name = recipe_name
        self.steps: list[PlannedStep] = []

    def take(self, name: str, step: Task[..., Any], **arguments: Any) -> Any:
        """Give the result that is on record. Raises Missed where there is none, StoreError when unsure."""
        key = key_of(step, arguments)
        record = look_up(key.path)
        if record is None:
            raise self._miss(name, tell_changes(last_key(self._recipe_name, name), key))
        self.steps.append(PlannedStep(name=name, state="hit"))
        return result_of(record)

    @contextmanager
    def shared(self, trainings: dict[str, dict[str, Any]]) -> Iterator[None]:
        """Look, after one that would run, at the others, too: each is a step of its own."""
        try:
            yield
        except Missed:
            seen = {step.name for step in self.steps}
            for name, arguments in trainings.items():
                if name not in seen:
                    with suppress(Missed):
                        self.take(name, train_model, **arguments)
            raise

    def commit(self, manifest: Manifest, installed: dict[str, str]) -> None:
        """Leave the registry as it is."""

    def describe(self, name: str, version: str, verdict: Verdict, card: Callable[[Manifest], str]) -> None:
        """Leave the registry as it is."""

    def act(self, name: str, step: Task[..., Any], **arguments: Any) -> Any:
        """A step that changes the world always runs."""
        raise self._miss(name, ("it is never answered from the cache",))

    def note(self, name: str, state: StepState) -> None:
        """Put a step on record that would not run: nothing to do, or the run ends before it."""
        if state == "unchanged":
            self.steps.append(PlannedStep(name=name, state="hit"))
        else:
            self.steps.append(PlannedStep(name=name, state="pending", changed=("the run ends before it",)))

    def _miss(self, name: str, changed: tuple[str, ...]) -> Missed:
        self.steps.append(PlannedStep(name=name, state="miss", changed=changed))
        return Missed(name)


def tell_changes(old: Key | None, new: Key) -> tuple[str, ...]:
    """Say in words in which parts two keys of a step differ."""
    if old is None:
        return ("it never ran for this recipe",)
    if old.format != new.format:
        return (f"keys of format {old.format} are an earlier tunegate's: each step runs once more",)
    changed: list[str] = []
    for part in ("params", "inputs", "env"):
        changed += _tell_differences(getattr(old, part), getattr(new, part), part)
    changed += ["code"] if old.code != new.code else []
    changed += _tell_differences(old.salt, new.salt, "params.salt")
    return tuple(changed) or ("its record, or a blob that it names, is gone",)


def _tell_differences(old: Any, new: Any, where: str) -> list[str]:
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(old.keys() | new.keys())
        return [line for name in names for line in _tell_differences(old.get(name), new.get(name), f"{where}.{name}")]
    kind, _, name = where.partition(".")
    if kind == "inputs":
        return [f"content of {name}"]
    if isinstance(old, list) and isinstance(new, list):
        return [f"{name} {_tell_items(old, new)}"]
    return [f"{name} {_short(old)} -> {_short(new)}"]


def _tell_items(old: list[Any], new: list[Any]) -> str:
    """What a list has lost and gained."""
    lost = [f"without {_short(item)}" for item in old if item not in new]
    gained = [f"with {_short(item)}" for item in new if item not in old]
    return ", ".join(lost + gained) or "in another order"


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
