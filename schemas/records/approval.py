"""A candidate that waits for a person, and what the person said."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from schemas.frozen import Digest, Frozen, Name, digest_of, short

State = Literal["waiting", "unfinished", "approved", "rejected", "overtaken"]


class Proposal(Frozen):
    """A version whose gate passed. `id` is what it is about: whoever proposes the same again finds it there.

    champion, since: what the alias named when the gate compared, and the number of the event by which it did; None
    and 0 where it named nothing
    """

    OUTSIDE_ID: ClassVar[set[str]] = {"format", "by", "at", "flow_run"}

    format: Literal[1] = 1
    model: Name
    alias: Name
    version: Digest
    champion: Digest | None
    since: int = Field(ge=0)
    gate_sha256: Digest
    evaluation_set_sha256: Digest
    by: str
    at: datetime
    flow_run: str

    @property
    def id(self) -> str:
        return digest_of(self.model_dump(mode="json", exclude=self.OUTSIDE_ID))

    @property
    def sha256(self) -> str:
        """The digest that a review and an event name it by: all of it, who and when too."""
        return digest_of(self.model_dump(mode="json"))


class Review(Frozen):
    """What a person said to a proposal: once, for good."""

    format: Literal[1] = 1
    proposal_sha256: Digest
    decision: Literal["approved", "rejected"]
    by: str
    reason: str
    at: datetime
    nonce: str


class Standing(Frozen):
    """A proposal, its review, and what both amount to by the model's log.

    unfinished: approved, but whoever did it was cut off before the event; overtaken: the alias has moved since
    """

    proposal: Proposal
    review: Review | None
    state: State

    def is_about(self, version: str | None, alias: str) -> bool:
        return (self.proposal.version, self.proposal.alias) == (version, alias)

    @property
    def is_open(self) -> bool:
        """Whether approving it would still promote it."""
        return self.state in ("waiting", "unfinished")

    @property
    def sentence(self) -> str:
        """What is the case, and the command that goes on from here."""
        proposal, review = self.proposal, self.review
        if review is None:
            said = f"{proposal.by} proposed it at {proposal.at:%Y-%m-%d %H:%M:%S} UTC"
        else:
            why = f": {review.reason}" if review.reason else ""
            said = f"{review.by} {review.decision} it at {review.at:%Y-%m-%d %H:%M:%S} UTC{why}"
        if self.state == "overtaken":
            return f"{said}; {proposal.alias} has moved since: run the recipe, and the gate decides anew"
        if self.state == "waiting":
            return f"{said}; to promote it: {self._command('approve')}"
        return f"{said}; to finish: {self._command('approve')}" if self.state == "unfinished" else said

    def _command(self, verb: str) -> str:
        alias = "" if self.proposal.alias == "champion" else f" --alias {self.proposal.alias}"
        return f"tunegate {verb} {self.proposal.model} {short(self.proposal.version)}{alias}"
