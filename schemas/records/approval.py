"""Proposals of candidates for approval, and their reviews."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from schemas.frozen import Digest, Frozen, Name, digest_of, short
from schemas.recipe.gate import Gate
from schemas.records.references import EvidenceRef, RowsRef

State = Literal["waiting", "unfinished", "approved", "rejected", "overtaken"]


class Grounds(Frozen):
    """What the gate of a proposal was given, so that it can be computed again without the proposer's cache."""

    evidence: EvidenceRef
    rows: RowsRef
    gate: Gate


class Proposal(Frozen):
    """A version that passed its gate; `id` identifies its subject, so that proposing it again finds the first one.

    champion, since: the alias's version at the gate, and the number of the event that set it; None and 0 without one
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
    # Left out if None, so that proposals from before this field keep their ids.
    grounds: Grounds | None = Field(None, exclude_if=lambda grounds: grounds is None)

    @property
    def id(self) -> str:
        return digest_of(self.model_dump(mode="json", exclude=self.OUTSIDE_ID))

    @property
    def sha256(self) -> str:
        """The digest of all fields, by which a review and an event name the proposal."""
        return digest_of(self.model_dump(mode="json"))


class Review(Frozen):
    format: Literal[1] = 1
    proposal_sha256: Digest
    decision: Literal["approved", "rejected"]
    by: str
    reason: str
    at: datetime
    nonce: str


class Standing(Frozen):
    """A proposal, its review, and its state by the model's log.

    unfinished: approved, but interrupted before the event; overtaken: the alias has moved since
    """

    proposal: Proposal
    review: Review | None
    state: State

    @property
    def is_open(self) -> bool:
        return self.state in ("waiting", "unfinished")

    @property
    def sentence(self) -> str:
        """The state in words, with the next command."""
        proposal, review = self.proposal, self.review
        if review is None:
            said = f"{proposal.by} proposed it at {proposal.at:%Y-%m-%d %H:%M:%S} UTC"
        else:
            why = f": {review.reason}" if review.reason else ""
            said = f"{review.by} {review.decision} it at {review.at:%Y-%m-%d %H:%M:%S} UTC{why}"
        if self.state == "overtaken":
            return f"{said}; {proposal.alias} has moved since: run the recipe to gate it again"
        if self.state == "waiting":
            return f"{said}; to promote it: {self._command('approve')}"
        return f"{said}; to finish: {self._command('approve')}" if self.state == "unfinished" else said

    def _command(self, verb: str) -> str:
        alias = "" if self.proposal.alias == "champion" else f" --alias {self.proposal.alias}"
        return f"tunegate {verb} {self.proposal.model} {short(self.proposal.version)}{alias}"
