"""An immutable model in the registry, and the events that say which alias names which."""

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
    """A version: its digest is its name. No time and no run id, so the same work is the same version."""

    format: Literal[1] = 1
    model: Name
    files: dict[FileName, Blob]
    base: Base
    recipe: dict[str, object] = Field(description="The parts of the recipe that shape the model.")
    data: dict[str, Digest]
    # Left out where none is stated: versions of before keep their names.
    data_licences: dict[str, str] = Field(
        default={}, exclude_if=lambda licences: not licences, description="By the names of `data`."
    )
    code: Digest
    environment: dict[str, str]

    @property
    def problem(self) -> Problem:
        """The problem this model was trained for, which is how it is served."""
        return self._part("problem", TypeAdapter[Problem](Problem))

    @property
    def tuning(self) -> Tuning:
        """The method by which this model was trained, and by which it answers."""
        return self._part("tuning", TypeAdapter[Tuning](Tuning))

    def _part(self, name: str, kind: TypeAdapter[Part]) -> Part:
        """What the recipe says, where the model is used. Raises Corrupt; who only keeps it can do without."""
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
    """One line of a model's log; `sequence` counts from 1 without a gap.

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
    # Left out where there is none: events of before hash to what they did.
    proposal_sha256: Digest | None = Field(None, exclude_if=lambda digest: digest is None)

    @model_validator(mode="after")
    def _is_judged_or_says_so(self) -> Self:
        if (self.gate_sha256 is None) != (self.kind in ("override", "rollback")):
            raise ValueError(
                f"an event of kind {self.kind} {'names no gate' if self.gate_sha256 is None else 'names one'}"
            )
        if self.proposal_sha256 and self.gate_sha256 is None:
            raise ValueError(f"an event of kind {self.kind} names a proposal: approval waives no gate")
        return self


class ModelLog(Frozen):
    """A model's events in order, and what they add up to."""

    events: tuple[Event, ...]
    head_sha256: Digest | None

    @property
    def aliases(self) -> dict[str, str]:
        return {event.alias: event.to_version for event in self.events}

    @property
    def named(self) -> dict[str, list[str]]:
        """Of each alias the versions that it has named, each once, the last named last."""
        found: dict[str, dict[str, None]] = {}
        for event in self.events:
            versions = found.setdefault(event.alias, {})
            versions.pop(event.to_version, None)
            versions[event.to_version] = None
        return {alias: list(versions) for alias, versions in found.items()}

    def since(self, alias: str) -> int:
        """The number of the event by which an alias names its version, 0 where it names none."""
        return max((event.sequence for event in self.events if event.alias == alias), default=0)

    def of_proposal(self, sha256: str) -> Event | None:
        """The event that a proposal has become."""
        return next((event for event in self.events if event.proposal_sha256 == sha256), None)

    def judged(self, version: str) -> str | None:
        """The digest of the last verdict by which an alias came to name a version, None where none did."""
        verdicts = [event.gate_sha256 for event in self.events if event.to_version == version and event.gate_sha256]
        return verdicts[-1] if verdicts else None

    def before(self, alias: str) -> str | None:
        """The version that an alias named before its present one, and that no rollback took back.

        A rollback takes back what came after its target.
        """
        named, taken = self._standing(alias)
        return next((version for version in named[-2::-1] if version not in taken), None)

    def taken_back(self, alias: str, version: str) -> Event | None:
        """The rollback by which an alias left a version; None where it was not so, or named it again since."""
        return self._standing(alias)[1].get(version)

    def _standing(self, alias: str) -> tuple[list[str], dict[str, Event]]:
        """The versions that an alias has named and no rollback took back, and those that one did."""
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
