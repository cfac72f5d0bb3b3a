"""Approval: proposal of a passing candidate, review by a person, event of an approved proposal.

Each record is made before the task that writes it, so that a retry after a lost response recognises its own success.
"""

import secrets
from datetime import UTC, datetime
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.errors import Conflict
from schemas.frozen import canonical_json, digest_of
from schemas.records.approval import Grounds, Proposal, Review, Standing
from schemas.records.verdict import Verdict
from schemas.records.versions import Event, ModelLog
from schemas.settings import read_settings
from tasks.services.cache.records import RETRIES
from tasks.services.local.object_store import current_store
from tasks.services.process.identity import user_name
from tasks.services.registry.doctor import check_store
from tasks.services.registry.log import explain_event, next_event, read_log
from tasks.services.registry.proposals import (
    add_proposal,
    add_review,
    find_standings,
    no_longer_open,
    read_passing_verdict,
)
from tasks.services.registry.versions import append_event, check_survived
from tasks.services.storage.store import Store


def make_proposal(
    log: ModelLog, model: str, alias: str, version: str, verdict: Verdict, grounds: Grounds, flow_run: str
) -> Proposal:
    """Make the proposal of a version; `log` is the one from which the gate's champion was read."""
    return Proposal(
        model=model,
        alias=alias,
        version=version,
        champion=log.aliases.get(alias),
        since=log.since(alias),
        gate_sha256=digest_of(verdict.model_dump(mode="json")),
        evaluation_set_sha256=grounds.rows.digest,
        by=user_name(),
        at=datetime.now(UTC),
        flow_run=flow_run,
        grounds=grounds,
    )


def make_review(proposal: Proposal, decision: Literal["approved", "rejected"], reason: str) -> Review:
    return Review(
        proposal_sha256=proposal.sha256,
        decision=decision,
        by=user_name(),
        reason=reason,
        at=datetime.now(UTC),
        nonce=secrets.token_hex(16),
    )


def propose(store: Store, proposal: Proposal, verdict: Verdict) -> Standing:
    """Write the proposal, unless it exists, and store the verdict.

    Raises Conflict when the alias has moved since, StoreError when the version is incomplete.
    """
    if verdict.decision != "pass":
        raise ValueError(f"a verdict of {verdict.decision} cannot be approved")
    if read_log(store, proposal.model).since(proposal.alias) != proposal.since:
        raise Conflict(f"{proposal.model}@{proposal.alias} has moved since the gate.")
    standing = add_proposal(store, proposal)
    check_survived(store, proposal.model, proposal.version)
    # After the proposal, which keeps it: garbage collection may have removed an earlier one.
    store.put_bytes(canonical_json(verdict.model_dump(mode="json")))
    return standing


def approve(store: Store, proposal: Proposal, review: Review) -> Event:
    """Write the review, then append the event. After an interruption the next call appends the same event.

    Raises Conflict if the proposal was rejected or the log has moved, Corrupt if its verdict is not a pass.
    """
    log = read_log(store, proposal.model)
    done = log.of_proposal(proposal.sha256)
    if done:
        return done
    if log.since(proposal.alias) != proposal.since:
        raise Conflict(f"{proposal.model}@{proposal.alias} has moved since the gate.")
    verdict = read_passing_verdict(store, proposal)
    review = add_review(store, proposal, review)
    event = next_event(
        log,
        proposal.alias,
        proposal.version,
        explain_event(review.reason, verdict),
        gate_sha256=proposal.gate_sha256,
        evaluation_set_sha256=proposal.evaluation_set_sha256,
        proposal_sha256=proposal.sha256,
        # From the first review, so that every caller makes the same event.
        **review.model_dump(include={"by", "at", "nonce"}),
    )
    append_event(store, proposal.model, event)
    return event


def reject(store: Store, name: str, version: str, alias: str, reason: str) -> None:
    """Reject every waiting proposal of a version. Raises UsageError, and Conflict if it was decided before."""
    standings = find_standings(store, name, version, alias)
    waiting = [standing.proposal for standing in standings if standing.is_open]
    if not waiting:
        raise no_longer_open(standings[0])
    for proposal in waiting:
        add_review(store, proposal, make_review(proposal, "rejected", reason))


@task(name="propose", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=3600, **RETRIES)
def propose_version(proposal: Proposal, verdict: Verdict) -> Standing:
    """Propose a passing candidate for approval. Raises Conflict when the alias has moved since."""
    return propose(current_store(), proposal, verdict)


@task(name="approve", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=3600, **RETRIES)
def approve_proposal(proposal: Proposal, review: Review) -> Event:
    """Promote an approved version. Raises Conflict, Corrupt."""
    store = current_store()
    check_store(store, read_settings().home)
    return approve(store, proposal, review)
