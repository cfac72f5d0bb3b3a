"""Immutable versions of the registry, and the events that assign aliases."""

from datetime import datetime
from typing import Literal, Self, TypeVar

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from schemas.errors import Corrupt
from schemas.frozen import Digest, FileName, Frozen, Name, digest_of, short
from schemas.recipe.problem import Problem
from schemas.recipe.tuning import Tuning
from schemas.records.references import Blob

Part = TypeVar("Part")
EventKind = Literal["bootstrap", "promote", "override", "rollback"]


class Base(Frozen):
    """The pretrained model that a version was tuned from."""

    source: str
    digest: Digest
    licence: str


class Manifest(Frozen):
    """A version, named by its digest; without time and run id, so that equal work is an equal version."""

    format: Literal[1] = 1
    model: Name
    files: dict[FileName, Blob]
    base: Base
    recipe: dict[str, object] = Field(description="The parts of the recipe that shape the model.")
    data: dict[str, Digest]
    # Left out if empty, so that versions from before this field keep their ids.
    data_licences: dict[str, str] = Field(
        default={}, exclude_if=lambda licences: not licences, description="By the names of `data`."
    )
    code: Digest
    environment: dict[str, str]

    @property
    def problem(self) -> Problem:
        return self._part("problem", TypeAdapter[Problem](Problem))

    @property
    def tuning(self) -> Tuning:
        return self._part("tuning", TypeAdapter[Tuning](Tuning))

    def _part(self, name: str, kind: TypeAdapter[Part]) -> Part:
        """Parse a part of the recipe on use. Raises Corrupt."""
        try:
            return kind.validate_python(self.recipe[name])
        except (KeyError, ValidationError):
            raise Corrupt(
                f"{self.model}@{short(self.version)}: it is not a manifest that this version of tunegate can read: "
                f"recipe.{name} is {self.recipe.get(name)!r}. Use it with the tunegate that made it, or a later one."
            ) from None

    @property
    def version(self) -> str:
        return digest_of(self.model_dump(mode="json"))


class Event(Frozen):
    """An event of a model's log; `sequence` counts from 1 without gaps.

    bootstrap: the alias's first version; promote: over `from_version`, which the gate compared with; override: by hand,
    without a gate; rollback: back to a version that the alias has named before
    proposal_sha256: the proposal that a person approved; `by` is that person then
    """

    sequence: int = Field(ge=1)
    previous_event_sha256: Digest | None
    kind: EventKind
    alias: Name
    from_version: Digest | None
    to_version: Digest
    gate_sha256: Digest | None
    evaluation_set_sha256: Digest | None
    by: str
    reason: str
    at: datetime
    nonce: str
    # Left out if None, so that events from before this field keep their digests.
    proposal_sha256: Digest | None = Field(None, exclude_if=lambda digest: digest is None)

    @model_validator(mode="after")
    def _has_verdict_unless_manual(self) -> Self:
        if (self.gate_sha256 is None) != (self.kind in ("override", "rollback")):
            raise ValueError(
                f"an event of kind {self.kind} {'names no gate' if self.gate_sha256 is None else 'names one'}"
            )
        if self.proposal_sha256 and self.gate_sha256 is None:
            raise ValueError(f"an event of kind {self.kind} names a proposal: approval waives no gate")
        return self


class ModelLog(Frozen):
    """A model's events in order, and the state derived from them."""

    events: tuple[Event, ...]
    head_sha256: Digest | None

    @property
    def aliases(self) -> dict[str, str]:
        return {event.alias: event.to_version for event in self.events}

    @property
    def named(self) -> dict[str, list[str]]:
        """The distinct versions of each alias, the most recent last."""
        found: dict[str, dict[str, None]] = {}
        for event in self.events:
            versions = found.setdefault(event.alias, {})
            versions.pop(event.to_version, None)
            versions[event.to_version] = None
        return {alias: list(versions) for alias, versions in found.items()}

    def since(self, alias: str) -> int:
        """Return the number of the alias's current event, 0 without one."""
        return max((event.sequence for event in self.events if event.alias == alias), default=0)

    def of_proposal(self, sha256: str) -> Event | None:
        return next((event for event in self.events if event.proposal_sha256 == sha256), None)

    def last_verdict(self, version: str) -> str | None:
        """Return the digest of the last verdict that promoted a version, None without one."""
        verdicts = [event.gate_sha256 for event in self.events if event.to_version == version and event.gate_sha256]
        return verdicts[-1] if verdicts else None

    def before(self, alias: str) -> str | None:
        """Return the previous version of an alias that was not rolled back; a rollback undoes all after its target."""
        named, taken = self._standing(alias)
        return next((version for version in named[-2::-1] if version not in taken), None)

    def taken_back(self, alias: str, version: str) -> Event | None:
        """Return the rollback of an alias from a version; None without one, or if the version was promoted again."""
        return self._standing(alias)[1].get(version)

    def _standing(self, alias: str) -> tuple[list[str], dict[str, Event]]:
        """Return an alias's versions that were not rolled back, and those that were, with the event."""
        named: list[str] = []
        taken: dict[str, Event] = {}
        for event in self.events:
            if event.alias != alias:
                continue
            if event.kind == "rollback" and event.to_version in named:
                kept = len(named) - named[::-1].index(event.to_version)
                taken |= dict.fromkeys(named[kept:], event)
                del named[kept:]
            else:
                named.append(event.to_version)
            taken.pop(event.to_version, None)
        return named, taken
