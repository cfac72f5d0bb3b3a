"""Content keys of steps, independent of place and time; `ContentKey` is their Prefect cache policy.

A key is the SHA-256 of the step's name, code, versions, parameters and the digests of its inputs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prefect import Task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext

from schemas.frozen import Frozen, content_of, digest_of
from schemas.records.references import EvidenceRef, Reference
from tasks.services.cache import code

# Format 1 included names of modules, and fields that are None.
FORMAT = 2


class Key(Frozen):
    """The parts of a key; a record keeps them to explain later misses."""

    format: int = FORMAT
    step: str
    salt: int
    code: str
    env: dict[str, str]
    params: dict[str, Any]
    inputs: dict[str, Any]

    @property
    def path(self) -> str:
        return f"{self.step}/{digest_of(self.model_dump(mode='json'))}"


@dataclass
class ContentKey(CachePolicy):
    """Key a task by the content of its inputs, never by paths, run ids or upstream keys."""

    step: str = ""
    module: str = ""
    salt: int = 0

    def key_for(self, arguments: dict[str, Any]) -> Key:
        """Compute a call's key: references count by digest, other arguments by value, None not at all."""
        inputs = {name: _digests(value) for name, value in arguments.items() if _is_reference(value)}
        given = {name: value for name, value in arguments.items() if name not in inputs and value is not None}
        params = {name: content_of(value) for name, value in given.items()}
        words = words_of(params)
        return Key(
            step=self.step,
            salt=self.salt,
            code=code.code_digest(self.module, words),
            env=code.environment(self.module, words),
            params=params,
            inputs=inputs,
        )

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **_: Any
    ) -> str:
        key = self.key_for(inputs)
        COMPUTED[key.path] = key
        return key.path


# Keys computed by this process, by path, for the records that Prefect writes later.
COMPUTED: dict[str, Key] = {}


def key_of(step: Task[..., Any], arguments: dict[str, Any]) -> Key:
    """Compute the key of a call of a cached task."""
    if not isinstance(step.cache_policy, ContentKey):
        raise TypeError(f"{step.name} is not a cached task")
    return step.cache_policy.key_for(arguments)


def check_code(step: Task[..., Any], key: Key) -> None:
    """Refuse to run a step whose code was edited after this process began. Raises TunegateError."""
    assert isinstance(step.cache_policy, ContentKey), f"{step.name} is not a cached task"
    code.check_unedited(step.cache_policy.module, words_of(key.params))


def current_key() -> Key:
    """Return the key of the running task."""
    context = TaskRunContext.get()
    if context is None:
        raise RuntimeError("current_key was called outside a cached task")
    return key_of(context.task, context.parameters)


def _is_reference(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(_is_reference(item) for item in value)
    return isinstance(value, Reference)


def _digests(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_digests(item) for item in value]
    # Separate parts, so that a miss can name the one that changed.
    return value.parts if isinstance(value, EvidenceRef) else value.digest


def words_of(params: dict[str, Any]) -> frozenset[str]:
    """The strings of a step's parameters, which choose rows of tables."""
    return frozenset(_strings(params))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
