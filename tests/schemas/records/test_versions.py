"""What the events of a log add up to. Alone: pytest tests/schemas/records/test_versions.py."""

from datetime import UTC, datetime

import pytest

from schemas.records.versions import Event, ModelLog


def make_log(story: str) -> ModelLog:
    """A log of one alias: `b` names the version b, `<b` goes back to it, `!b` overrides."""
    kinds = {"<": "rollback", "!": "override"}
    events: list[Event] = []
    for word in story.split():
        kind = kinds.get(word[0], "promote" if events else "bootstrap")
        gate = None if word[0] in kinds else "f" * 64
        event = Event(
            sequence=len(events) + 1,
            previous_event_sha256="0" * 64,
            kind=kind,
            alias="champion",
            from_version=events[-1].to_version if events else None,
            to_version=word[-1] * 64,
            gate_sha256=gate,
            evaluation_set_sha256=gate,
            by="somebody",
            reason="because",
            at=datetime.now(UTC),
            nonce=str(len(events)),
        )
        events.append(event)
    return ModelLog(events=tuple(events), head_sha256=None)


@pytest.mark.parametrize(
    ("story", "before", "taken_back"),
    [
        ("a", None, ""),
        ("a b", "a", ""),
        ("a b <a", None, "b"),
        ("a b c <b", "a", "c"),
        ("a b c <a", None, "bc"),
        ("a b <a b", "a", ""),
        ("a b <a !b", "a", ""),
        ("a b <a c", "a", "b"),
        ("a b a <b", None, "a"),
        ("a b <a <b", "a", ""),
        ("c a b a <b", "c", "a"),
    ],
)
def test_rollback_takes_back_what_came_after_its_target(story: str, before: str | None, taken_back: str):
    log = make_log(story)

    assert log.before("champion") == (before * 64 if before else None)
    found = {name: log.taken_back("champion", name * 64) for name in "abc"}
    assert "".join(name for name, event in found.items() if event) == taken_back
    assert all(event.kind == "rollback" for event in found.values() if event)
    assert log.before("challenger") is None
