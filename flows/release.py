"""Releases by hand: approval of a proposal, rollback to an earlier version, or override of the gate."""

import contextlib
import logging
from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from flows.chain.approval import check_proposal
from schemas.errors import Conflict, StoreError, UsageError
from schemas.frozen import LARGEST, short
from schemas.records.references import ModelRef
from schemas.records.versions import Event, ModelLog
from tasks.approval import approve_proposal, make_review
from tasks.methods.models.isolated import answer_apart
from tasks.promotion import release_version
from tasks.services.local.object_store import current_store
from tasks.services.registry.log import checked_name, next_event, read_log
from tasks.services.registry.proposals import find_proposal, list_standings
from tasks.services.registry.verification import check_version
from tasks.services.registry.versions import find_version, read_manifest, refuse_unknown_model, unpacked

Kind = Literal["approve", "rollback", "override"]
MAX_ROUNDS = 5
# Prefect loads this file under another module name.
log = logging.getLogger("flows.release")


@flow(name="release", flow_run_name="{kind} {model}@{alias}", persist_result=False)
def release(
    model: str,
    kind: Kind,
    reason: str,
    version: str = "",
    alias: str = "champion",
    since: Annotated[int, Field(ge=0, le=LARGEST)] | None = None,
) -> Event:
    """Point an alias at another version, after verifying every byte and loading it.

    Args:
        model: The model's name.
        kind: approve promotes a proposed version; rollback returns to an earlier version of the alias; override
            promotes any version without a gate.
        reason: The reason, for the log.
        version: The target version or at least 8 of its digits; if empty, a rollback goes to the previous version.
        alias: The alias, as services use it.
        since: The number of the alias's current event, as the caller saw it; if the alias has moved since, nothing is
            changed. If empty, the current one.
    """
    if kind != "approve" and not reason.strip():
        raise UsageError("The reason is empty; give the reason for the log.")
    store = current_store()
    events = read_log(store, model)
    if since is not None:
        _refuse_moved(events, model, alias, since)
    target = find_target(events, model, kind, version or None, alias)
    check_loads(model, target)
    for _ in range(MAX_ROUNDS):
        try:
            return _append(events, model, kind, reason, target, alias)
        except Conflict as conflict:
            seen, events = events, read_log(store, model)
            if events == seen:
                raise
            _refuse_moved(events, model, alias, seen.since(alias))
            log.warning("%s It was about another alias; the event gets the next number.", conflict)
    raise Conflict(f"{model}: others released {MAX_ROUNDS} times in a row meanwhile. Run again.")


def _refuse_moved(events: ModelLog, model: str, alias: str, since: int) -> None:
    """Raise Conflict if the alias has moved, so that no other release is undone or replaced."""
    if events.since(alias) != since:
        raise Conflict(
            f"{model}@{alias} has moved meanwhile and names {short(events.aliases[alias])}: nothing was changed. "
            f"`tunegate history {model}` shows who did it; run again if you still want to."
        ) from None


def _append(events: ModelLog, model: str, kind: Kind, reason: str, target: str, alias: str) -> Event:
    """Write the event by which the alias names the target. Raises Conflict when the log has moved since it was read."""
    if kind == "approve":
        proposal = find_proposal(current_store(), model, target, alias)
        check_proposal(proposal)
        review = make_review(proposal, "approved", reason)
        approved: Event = approve_proposal(proposal, review, return_state=True).result()
        return approved
    event = next_event(events, alias, target, reason, kind)
    released: Event = release_version(model, event, return_state=True).result()
    return released


def find_target(events: ModelLog, model: str, kind: Kind, version: str | None, alias: str) -> str:
    """Return the version that the alias would name. Raises UsageError; for a proposal also Conflict and Corrupt."""
    store = current_store()
    checked_name(alias, "an alias")
    if version == "" or (version is None and kind != "rollback"):
        # An unset shell variable must not mean the previous version.
        raise UsageError(
            f"{model}@{alias}: the version for {kind} is empty; give at least 8 of its digits. "
            f"`tunegate models {model}` lists them."
        )
    present = events.aliases.get(alias)
    if present is None and kind == "rollback":
        refuse_unknown_model(store, model)
        known = ", ".join(sorted(events.aliases)) or "none"
        raise UsageError(f"{model}@{alias}: there is no such alias; there are: {known}.")
    if kind == "approve":
        target: str | None = find_proposal(store, model, version, alias).version
    else:
        target = find_version(store, model, version) if version else events.before(alias)
    if not version and present:
        _refuse_second_rollback(events, model, alias, target)
    if target is None:
        raise UsageError(
            f"{model}@{alias}: there is no version before the current one. `tunegate history {model}` lists its "
            "versions."
        )
    if target == present:
        raise UsageError(f"{model}@{alias} names {short(target)} already.")
    if kind == "rollback" and all(event.to_version != target for event in events.events if event.alias == alias):
        raise UsageError(
            f"{model}@{alias} has never named {short(target)}, so it cannot be rolled back to. Gate it with "
            "`tunegate gate`, or use `tunegate promote --override`."
        )
    return target


def _refuse_second_rollback(events: ModelLog, model: str, alias: str, target: str | None) -> None:
    """Refuse a repeated rollback, which may be a retry, instead of going one version further back."""
    last = events.events[events.since(alias) - 1]
    if last.kind == "rollback":
        listed = f"To go to another version, name it: --to VERSION. `tunegate history {model}` lists them."
        further = f"To go further back, name the version: --to {short(target)}." if target else listed
        raise UsageError(
            f"{model}@{alias} was rolled back to {short(last.to_version)} already, at {last.at:%Y-%m-%d %H:%M} UTC: "
            f"{last.reason}. {further}"
        )


def find_doubts(events: ModelLog, model: str, version: str, alias: str) -> list[str]:
    back = events.taken_back(alias, version)
    overrides = [event for event in events.events if (event.kind, event.to_version) == ("override", version)]
    doubts = [_describe(back, "took it back")] if back else []
    doubts += [] if events.last_verdict(version) else ["no verdict in the log has passed it"]
    doubts += [_describe(event, "promoted it past the gate") for event in overrides[-1:]]
    # A damaged proposal must not prevent a rollback.
    with contextlib.suppress(StoreError):
        standings = list_standings(current_store(), model)
        doubts += [one.sentence for one in standings if (one.state, one.proposal.version) == ("rejected", version)]
    return doubts


def _describe(event: Event, what: str) -> str:
    return f"{event.by} {what} at {event.at:%Y-%m-%d %H:%M} UTC: {event.reason}"


def check(kind: Kind, model: str, version: str, alias: str) -> None:
    """Verify every byte of a version and load it; compute a proposal's verdict again. Raises StoreError."""
    check_loads(model, version)
    if kind == "approve":
        check_proposal(find_proposal(current_store(), model, version, alias))


def check_loads(model: str, version: str) -> None:
    """Verify every byte of a version, then load it in an isolated process. Raises StoreError."""
    store = current_store()
    check_version(store, model, version)
    manifest = read_manifest(store, model, version)
    with unpacked(store, ModelRef.of(manifest.files)) as folder:
        answer_apart(f"{model}@{short(version)}", folder, None, manifest.problem)
