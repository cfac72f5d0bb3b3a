"""Proposals of candidates for approval, beside the log: each proposed once, each reviewed once.

models/<name>/proposals/<id>/proposal.json   id = SHA-256 of its subject: version, alias, champion, gate, rows
models/<name>/proposals/<id>/review.json     approved or rejected; the first to create it decides
"""

import hashlib
import json
from typing import TypeVar

from pydantic import ValidationError

from schemas.errors import Conflict, Corrupt, UsageError
from schemas.frozen import Frozen, canonical_json, digest_of, short
from schemas.records.approval import Proposal, Review, Standing, State
from schemas.records.verdict import Verdict
from schemas.records.versions import ModelLog
from tasks.services.registry.log import checked_name, read_log
from tasks.services.registry.versions import find_version
from tasks.services.storage.store import Store, blob_key

Content = TypeVar("Content", bound=Frozen)
PROPOSAL = "/proposal.json"
REVIEW = "/review.json"


def add_proposal(store: Store, proposal: Proposal) -> Standing:
    """Write a proposal unless it exists; return the stored one."""
    folder = _folder(proposal.model, proposal.id)
    if not store.create(folder + PROPOSAL, _sealed(proposal)):
        proposal = _read_proposal(store, proposal.model, folder)
    review = _read_review(store, proposal)
    return _standing(proposal, review, read_log(store, proposal.model))


def list_standings(store: Store, name: str) -> list[Standing]:
    """Return every proposal of a model with its state, oldest first. Raises Corrupt."""
    keys = store.list_keys(f"models/{checked_name(name)}/proposals/")
    folders = [key.removesuffix(PROPOSAL) for key in keys if key.endswith(PROPOSAL)]
    proposals = sorted((_read_proposal(store, name, folder) for folder in folders), key=lambda proposal: proposal.at)
    reviews = [_read_review(store, proposal) for proposal in proposals]
    # Last, since an event follows its review.
    log = read_log(store, name)
    return [_standing(proposal, review, log) for proposal, review in zip(proposals, reviews, strict=True)]


def find_standings(store: Store, name: str, version: str | None, alias: str) -> list[Standing]:
    """Return every proposal of a version for an alias, newest first. Raises UsageError where there is none."""
    target = find_version(store, name, version) if version else None
    all_standings = list_standings(store, name)
    standings = [one for one in all_standings if (one.proposal.version, one.proposal.alias) == (target, alias)]
    if not standings:
        raise UsageError(
            f"{name}@{version or '(no version)'} was not proposed for {alias!r}. `tunegate proposals {name}` lists the "
            "proposals; a recipe with promotion.approval proposes the versions that pass its gate."
        )
    return standings[::-1]


def find_proposal(store: Store, name: str, version: str | None, alias: str) -> Proposal:
    """Return the newest open or just approved proposal of a version. Raises UsageError, Conflict, Corrupt."""
    standings = find_standings(store, name, version, alias)
    standing = next((standing for standing in standings if standing.is_open), standings[0])
    log = read_log(store, name)
    event = log.of_proposal(standing.proposal.sha256)
    is_done = event is not None and event.sequence == log.since(alias)
    if not (standing.is_open or is_done):
        raise no_longer_open(standing)
    read_passing_verdict(store, standing.proposal)
    return standing.proposal


def no_longer_open(standing: Standing) -> Conflict:
    proposal = standing.proposal
    return Conflict(
        f"{proposal.model}@{short(proposal.version)} is {standing.state}, not waiting: {standing.sentence}."
    )


def add_review(store: Store, proposal: Proposal, review: Review) -> Review:
    """Review a proposal, or return an earlier review that agrees. Raises Conflict where one disagrees."""
    key = _folder(proposal.model, proposal.id) + REVIEW
    if store.create(key, _sealed(review)):
        return review
    found = _read_review(store, proposal)
    if found is None or found.decision != review.decision:
        what = f"{found.by} {found.decision} this proposal first: {found.reason}" if found else "it cannot be read"
        raise Conflict(f"{key}: {what}. `tunegate proposals {proposal.model}` lists the current states.")
    return found


def read_passing_verdict(store: Store, proposal: Proposal) -> Verdict:
    """Return the verdict behind a proposal, verified against its digest. Raises Corrupt unless it passed."""
    key = blob_key(proposal.gate_sha256)
    raw = store.read(key)
    if raw is None or hashlib.sha256(raw).hexdigest() != proposal.gate_sha256:
        what = "is not in the store" if raw is None else "was altered or damaged"
        raise Corrupt(f"{key}: the verdict of this proposal {what}. Restore it, or delete it and run the recipe again.")
    try:
        verdict = Verdict.model_validate_json(raw)
    except ValidationError:
        raise Corrupt(f"{key}: it is not a verdict that this version of tunegate can read.") from None
    if verdict.decision != "pass":
        raise Corrupt(
            f"{key}: the verdict is {verdict.decision}; only a candidate that passed its gate can be approved."
        )
    return verdict


def _standing(proposal: Proposal, review: Review | None, log: ModelLog) -> Standing:
    """Derive a proposal's state; approved, rejected and overtaken are final."""
    state: State = "unfinished" if review else "waiting"
    if log.of_proposal(proposal.sha256):
        state = "approved"
    elif review and review.decision == "rejected":
        state = "rejected"
    elif log.since(proposal.alias) != proposal.since:
        state = "overtaken"
    return Standing(proposal=proposal, review=review, state=state)


def _read_proposal(store: Store, name: str, folder: str) -> Proposal:
    key = folder + PROPOSAL
    proposal = _opened(Proposal, store.read(key), key)
    if proposal.model != name or folder != _folder(name, proposal.id):
        raise Corrupt(f"{key}: this is the proposal {proposal.id} of {proposal.model}; it was moved or altered.")
    return proposal


def _read_review(store: Store, proposal: Proposal) -> Review | None:
    key = _folder(proposal.model, proposal.id) + REVIEW
    raw = store.read(key)
    review = None if raw is None else _opened(Review, raw, key)
    if review and review.proposal_sha256 != proposal.sha256:
        raise Corrupt(f"{key}: it reviews {review.proposal_sha256}, not the proposal beside it; one was replaced.")
    return review


def _sealed(content: Frozen) -> bytes:
    """Serialize content with a digest of itself."""
    plain = content.model_dump(mode="json")
    return canonical_json({"content": plain, "sha256": digest_of(plain)})


def _opened(model: type[Content], raw: bytes | None, key: str) -> Content:
    try:
        sealed = json.loads(raw or b"")
        if digest_of(sealed["content"]) == sealed["sha256"]:
            return model.model_validate(sealed["content"])
    except (ValueError, LookupError, TypeError):
        pass
    raise Corrupt(
        f"{key}: it is not a whole {model.__name__.lower()}; it was altered or damaged. Restore it from a copy; an "
        "unreviewed proposal can be deleted, and a run of its recipe writes it again."
    )


def _folder(name: str, proposal_id: str) -> str:
    return f"models/{checked_name(name)}/proposals/{proposal_id}"
