"""A model's log: numbered events, each created once, each naming the digest of the one before it.

models/<name>/log/<sequence, 16 digits>.json   the truth
models/<name>/head.json                        a copy of the first events as they are stored; may lag

The copy saves reading every event. It is believed as far as its chain of digests ends at the event that is stored under
the last of its numbers; otherwise the log is read from its first event.
"""

import hashlib
import json
import logging
import re
import secrets
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from schemas.errors import Corrupt, StoreError, UsageError
from schemas.frozen import NAME_PATTERN, canonical_json, digest_of
from schemas.records.verdict import Verdict
from schemas.records.versions import Event, EventKind, ModelLog
from tasks.services.process.identity import user_name
from tasks.services.storage.store import Objects, Store

log = logging.getLogger(__name__)


class _Fold(NamedTuple):
    """Events as they are stored, and parsed."""

    raws: tuple[bytes, ...] = ()
    events: tuple[Event, ...] = ()

    @property
    def head_sha256(self) -> str | None:
        return hashlib.sha256(self.raws[-1]).hexdigest() if self.raws else None

    def follow(self, key: str, raw: bytes) -> "_Fold":
        """Add the next event. Raises Corrupt when it does not follow."""
        number = len(self.events) + 1
        event = _parse(key, raw)
        if not key.endswith(f"/{number:016d}.json") or event.sequence != number:
            raise Corrupt(f"{key}: expected event {number} here; an event is missing or misnamed.")
        if event.previous_event_sha256 != self.head_sha256:
            raise Corrupt(f"{key}: it does not follow the event before it; the log was altered.")
        return _Fold((*self.raws, raw), (*self.events, event))


def read_log(store: Store, name: str) -> ModelLog:
    """Give a model's events, each checked against its predecessor. Raises StoreError."""
    fold = _fold(store, name)
    return ModelLog(events=fold.events, head_sha256=fold.head_sha256)


def read_whole_log(store: Objects, name: str) -> ModelLog:
    """Read every stored event, whatever copies there are. Raises StoreError."""
    # The copy first: whatever it holds was in the log before.
    copied = _read_copy(store, name)
    fold = _follow(store, name, _Fold())
    _refuse_lost_events(name, fold, copied)
    return ModelLog(events=fold.events, head_sha256=fold.head_sha256)


def copy_head(store: Store, name: str) -> None:
    """Bring the copy up to date; without it reading takes longer and is as right."""
    try:
        fold = _fold(store, name)
        store.replace(_head_key(name), canonical_json([raw.decode() for raw in fold.raws]))
    except StoreError as error:
        log.warning("%s was not brought up to date: %s", _head_key(name), error)


def event_key(name: str, sequence: int) -> str:
    return f"{_log_prefix(name)}{sequence:016d}.json"


def checked_name(name: str, what: str = "a model's name") -> str:
    """Refuse a name that could become another key than its own, or that no event can hold."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(f"{name!r} is not {what}: use 1 to 64 lower-case letters, digits and inner '.', '-', '_'.")
    return name


def _fold(store: Store, name: str) -> _Fold:
    copied = _read_copy(store, name)
    if copied.raws:
        last = event_key(name, len(copied.raws))
        if store.read(last) != copied.raws[-1]:
            log.warning("%s does not end as %s does: the whole log is read.", _head_key(name), last)
            fold = _follow(store, name, _Fold())
            _refuse_lost_events(name, fold, copied)
            return fold
    return _follow(store, name, copied)


def _refuse_lost_events(name: str, fold: _Fold, copied: _Fold) -> None:
    """Nothing in the log names its newest event; the copy, which is written after it, does."""
    number = len(fold.raws)
    if len(copied.raws) > number and copied.raws[:number] == fold.raws:
        raise Corrupt(
            f"{event_key(name, number + 1)}: this event is gone; {_head_key(name)} still has it. Restore it from there "
            "or from a replica."
        )


def _follow(store: Objects, name: str, fold: _Fold) -> _Fold:
    after = event_key(name, len(fold.raws)) if fold.raws else ""
    for key in store.list_keys(_log_prefix(name), after):
        raw = store.read(key)
        if raw is None:
            raise StoreError(f"{key}: listed but not readable; the log cannot be trusted. Run again in a moment.")
        fold = fold.follow(key, raw)
    return fold


def _read_copy(store: Objects, name: str) -> _Fold:
    fold = _Fold()
    try:
        for raw in json.loads(store.read(_head_key(name)) or b"[]"):
            fold = fold.follow(event_key(name, len(fold.raws) + 1), raw.encode())
    except (ValueError, AttributeError, TypeError, Corrupt):
        # It is no truth, so nothing is lost by not believing it.
        log.warning("%s is no copy of events: the whole log is read.", _head_key(name))
        return _Fold()
    return fold


def next_event(
    log: ModelLog, alias: str, version: str, reason: str, kind: EventKind | None = None, **more: Any
) -> Event:
    """Make the event that follows the log as it was read, by this account, now; `more` are further fields of it.

    Without a kind it is a gate's: a promotion, or the first version of the alias.
    """
    champion = log.aliases.get(alias)
    fields = {
        "sequence": len(log.events) + 1,
        "previous_event_sha256": log.head_sha256,
        "kind": kind or ("promote" if champion else "bootstrap"),
        "alias": alias,
        "from_version": champion,
        "to_version": version,
        "gate_sha256": None,
        "evaluation_set_sha256": None,
        "reason": reason,
        "by": user_name(),
        "at": datetime.now(UTC),
        "nonce": secrets.token_hex(16),
    }
    return Event(**fields | more)


def explain_event(said: str, verdict: Verdict) -> str:
    """What somebody said, if so, and the rules' reasons."""
    return "; ".join([said] * bool(said) + [rule.reason for rule in verdict.rules])


def seal(event: Event) -> bytes:
    """An event with the digest of all else in it: the newest one is followed by none that could hold its digest."""
    fields = event.model_dump(mode="json")
    return canonical_json(fields | {"sha256": digest_of(fields)})


def _parse(key: str, raw: bytes) -> Event:
    """Read an event; one of before there was a seal has none. Raises Corrupt where a byte is another one."""
    try:
        fields = json.loads(raw)
        digest = fields.pop("sha256", None)
        if digest is not None and raw != canonical_json(fields | {"sha256": digest_of(fields)}):
            raise Corrupt(f"{key}: the event does not hash to the digest in it; it was altered or damaged.")
        return Event.model_validate(fields)
    except (ValueError, AttributeError, ValidationError):
        raise Corrupt(f"{key}: it is not an event that this version of tunegate can read.") from None


def _log_prefix(name: str) -> str:
    return f"models/{checked_name(name)}/log/"


def _head_key(name: str) -> str:
    return f"models/{checked_name(name)}/head.json"
