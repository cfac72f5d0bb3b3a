"""Recomputation of a decision without the cache, before it moves an alias.

An account that may train may write records, and a look-up checks their form only. So what decides a promotion is
computed by the promoting run itself, from the source files and from the version's files.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from prefect import Task

from tasks.services.cache.keys import key_of
from tasks.services.cache.records import look_up, result_of


class Own(NamedTuple):
    """A call of a cached step that this process computed, with all arguments: a key holds only their digests."""

    step: Task[..., Any]
    arguments: dict[str, Any]
    result: Any


class Recomputation:
    """Cached steps whose results are the run's own, or computed again; no record is used.

    differing: keys of records with other results than those that were computed again
    """

    def __init__(self, compute: Callable[..., Any], own: list[Own]) -> None:
        self.differing: list[str] = []
        self._compute, self._own = compute, own

    def call(self, name: str, step: Task[..., Any], **arguments: Any) -> Any:
        for known in self._own:
            if known.step is step and known.arguments == arguments:
                return known.result
        result = self._compute(f"{name}-again", step, **arguments)
        self._own.append(Own(step, arguments, result))
        path = key_of(step, arguments).path
        record = look_up(path)
        if record is not None and result_of(record) != result:
            self.differing.append(f"cache/{path}.json")
        return result
