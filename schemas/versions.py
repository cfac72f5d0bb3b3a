"""An immutable model in the registry, and the events that say which alias names which."""

from datetime import datetime
from typing import Literal

from pydantic import Field, TypeAdapter

from schemas.frozen import Digest, FileName, Frozen, Name, digest_of
from schemas.problems import Problem
from schemas.references import Blob
from schemas.tuning import Tuning


class Base(Frozen):
    """The pretrained model that a version was tuned from."""

    source: str
    digest: Digest
    licence: str


class Manifest(Frozen):
    """A version: its digest is its name. No time and no run id, so the same work is the same version."""

    format: Literal[1] = 1
    model: Name
    files: dict[FileName, Blob]
    base: Base
    recipe: dict[str, object] = Field(description="The parts of the recipe that shape the model.")
    data: dict[str, Digest]
    code: Digest
    environment: dict[str, str]

    @property
    def problem(self) -> Problem:
        """The problem this model was trained for, which is how it is served."""
        return TypeAdapter[Problem](Problem).validate_python(self.recipe["problem"])

    @property
    def tuning(self) -> Tuning:
        """The method by which this model was trained, and by which it answers."""
        tuning: Tuning = TypeAdapter(Tuning).validate_python(self.recipe["tuning"])
        return tuning

    @property
    def version(self) -> str:
        return digest_of(self.model_dump(mode="json"))


class Event(Frozen):
    """One line of a model's log; `sequence` counts from 1 without a gap."""

    sequence: int = Field(ge=1)
    previous_event_sha256: Digest | None
    kind: Literal["bootstrap", "promote"]
    alias: Name
    from_version: Digest | None
    to_version: Digest
    gate_sha256: Digest
    evaluation_set_sha256: Digest
    by: str
    reason: str
    at: datetime
    nonce: str


class ModelLog(Frozen):
    """A model's events in order, and what they add up to."""

    events: tuple[Event, ...]
    head_sha256: Digest | None

    @property
    def aliases(self) -> dict[str, str]:
        return {event.alias: event.to_version for event in self.events}
