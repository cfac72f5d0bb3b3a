"""What waits for a person, on a real S3 server. Alone: pytest tests/tasks/test_approval.py."""

import json
import secrets
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.errors import Conflict, Corrupt, StoreError, UsageError
from schemas.frozen import canonical_json, digest_of
from schemas.recipe.gate import Gate
from schemas.records.approval import Grounds, Proposal, Standing
from schemas.records.references import EvidenceRef, RowsRef, ScoresRef
from schemas.records.verdict import RuleResult, Verdict
from schemas.records.versions import Event
from tasks import approval
from tasks.methods.rules.decision import weigh
from tasks.services.registry import proposals, versions
from tasks.services.registry.log import read_log
from tasks.services.storage.store import Store, blob_key
from tests.tasks.services.registry.test_versions import make_event, make_manifest, promote
from tests.tasks.services.storage.faulty_store import Fault, FaultyStore

RULE = RuleResult(name="floor", measured=0.9, interval=(0.8, 1.0), limit=0.5, decision="pass", reason="0.9 reaches 0.5")
ROWS = RowsRef(digest="a" * 64, size_bytes=1, num_rows=1)
SCORES = ScoresRef(
    digest="e" * 64, size_bytes=1, num_rows=1, scores={}, intervals={}, constant={}, confusion=(), labels=()
)
GROUNDS = Grounds(
    evidence=EvidenceRef.of(candidate=SCORES), rows=ROWS, gate=Gate(at_least=0.5, non_inferiority_margin=0.1)
)


@pytest.fixture
def name() -> str:
    return f"model-{secrets.token_hex(4)}"


@pytest.fixture
def verdict() -> Verdict:
    """A pass of its own, so that no other test's store object is touched."""
    return weigh((RULE.model_copy(update={"measured": secrets.randbelow(10**9) / 10**9}),), rows=100)


def add_version(store: Store, name: str) -> str:
    return versions.add_version(store, make_manifest(store, name, secrets.token_bytes(50)))


def propose(store: Store, name: str, verdict: Verdict, version: str | None = None) -> Standing:
    log = read_log(store, name)
    version = version or add_version(store, name)
    proposal = approval.make_proposal(log, name, "champion", version, verdict, GROUNDS, "flow run 1")
    return approval.propose(store, proposal, verdict)


def approve(store: Store, name: str, version: str, reason: str = "") -> Event:
    proposal = proposals.find_proposal(store, name, version, "champion")
    return approval.approve(store, proposal, approval.make_review(proposal, "approved", reason))


def states(store: Store, name: str) -> dict[str, str]:
    return {standing.proposal.version: standing.state for standing in proposals.list_standings(store, name)}


def key_of(proposal: Proposal, what: str) -> str:
    return f"models/{proposal.model}/proposals/{proposal.id}/{what}.json"


def test_proposal_is_bound_to_what_was_judged_and_moves_no_alias(store: Store, name: str, verdict: Verdict):
    promote(store, name, add_version(store, name))
    champion = read_log(store, name).aliases["champion"]
    standing = propose(store, name, verdict)
    proposal = standing.proposal

    assert (proposal.champion, proposal.since) == (champion, 1)
    assert (proposal.gate_sha256, proposal.evaluation_set_sha256) == (
        digest_of(verdict.model_dump(mode="json")),
        "a" * 64,
    )
    assert proposal.by
    assert proposal.flow_run == "flow run 1"
    assert store.read(blob_key(proposal.gate_sha256)) == canonical_json(verdict.model_dump(mode="json"))
    assert states(store, name) == {proposal.version: "waiting"}
    assert read_log(store, name).aliases == {"champion": champion}
    assert f"tunegate approve {name} {proposal.version[:12]}" in standing.sentence


def test_same_proposal_is_written_once(store: Store, name: str, verdict: Verdict):
    first = propose(store, name, verdict)
    second = propose(store, name, verdict, first.proposal.version)
    other = propose(store, name, weigh((RULE,), rows=101), first.proposal.version)

    assert second == first != other
    assert len(proposals.list_standings(store, name)) == 2


@pytest.mark.parametrize("decision", ["refuse", "undecidable"])
def test_only_a_pass_can_be_proposed(store: Store, name: str, decision: str):
    failed = weigh((RULE.model_copy(update={"decision": decision}),), rows=100)

    with pytest.raises(ValueError, match="cannot be approved"):
        propose(store, name, failed)
    assert proposals.list_standings(store, name) == []


def test_approval_promotes_with_the_gate_and_who_approved(store: Store, name: str, verdict: Verdict):
    first = propose(store, name, verdict).proposal
    approve(store, name, first.version)
    second = propose(store, name, verdict).proposal
    approve(store, name, second.version[:10], "looks good in Finnish")
    bootstrap, event = read_log(store, name).events

    assert (bootstrap.kind, bootstrap.from_version, bootstrap.to_version) == ("bootstrap", None, first.version)
    assert (event.kind, event.from_version, event.to_version) == ("promote", first.version, second.version)
    assert (event.gate_sha256, event.proposal_sha256) == (second.gate_sha256, second.sha256)
    assert event.reason == "looks good in Finnish; 0.9 reaches 0.5"
    assert event.by == proposals.list_standings(store, name)[1].review.by
    assert states(store, name) == {first.version: "approved", second.version: "approved"}


def test_approving_again_writes_nothing_and_after_a_move_is_refused(store: Store, name: str, verdict: Verdict):
    version = propose(store, name, verdict).proposal.version
    one, two = approve(store, name, version), approve(store, name, version, "again")

    assert one == two
    assert len(read_log(store, name).events) == 1

    promote(store, name, add_version(store, name))
    with pytest.raises(Conflict, match="is approved, not waiting"):
        approve(store, name, version)


def test_rejected_candidate_is_never_promoted(store: Store, name: str, verdict: Verdict):
    version = propose(store, name, verdict).proposal.version
    approval.reject(store, name, version[:10], "champion", "rude in Finnish")
    again = propose(store, name, verdict, version)

    assert (again.state, again.review.reason) == ("rejected", "rude in Finnish")
    with pytest.raises(Conflict, match="is rejected, not waiting: .*rude in Finnish"):
        approve(store, name, version)
    with pytest.raises(Conflict, match="rejected"):
        approval.reject(store, name, version, "champion", "twice")
    assert read_log(store, name).events == ()


def test_reject_vetoes_every_waiting_proposal_of_the_version(store: Store, name: str, verdict: Verdict):
    version = propose(store, name, verdict).proposal.version
    propose(store, name, weigh((RULE,), rows=101), version)
    approval.reject(store, name, version, "champion", "no")

    assert [standing.state for standing in proposals.list_standings(store, name)] == ["rejected"] * 2


def test_others_are_overtaken_when_one_is_approved(store: Store, name: str, verdict: Verdict):
    early, late = (propose(store, name, verdict).proposal.version for _ in range(2))
    approve(store, name, late)

    assert states(store, name) == {early: "overtaken", late: "approved"}
    with pytest.raises(Conflict, match="is overtaken, not waiting: .*run the recipe"):
        approve(store, name, early)
    assert read_log(store, name).aliases == {"champion": late}


def test_overtaken_stays_so_when_the_alias_comes_back(store: Store, name: str, verdict: Verdict):
    champion, other = add_version(store, name), add_version(store, name)
    promote(store, name, champion)
    version = propose(store, name, verdict).proposal.version
    promote(store, name, other)
    promote(store, name, champion)

    assert states(store, name) == {version: "overtaken"}
    propose(store, name, verdict, version)
    assert [standing.state for standing in proposals.list_standings(store, name)] == ["overtaken", "waiting"]
    assert approve(store, name, version).from_version == champion


def test_proposal_for_one_alias_is_not_overtaken_by_another(store: Store, name: str, verdict: Verdict):
    version = propose(store, name, verdict).proposal.version
    log = read_log(store, name)
    event = make_event(log, add_version(store, name)).model_copy(update={"alias": "canary"})
    versions.append_event(store, name, event)

    assert approve(store, name, version).sequence == 2


def test_alias_that_moved_since_the_gate_makes_no_proposal(store: Store, name: str, verdict: Verdict):
    log, version = read_log(store, name), add_version(store, name)
    promote(store, name, add_version(store, name))
    proposal = approval.make_proposal(log, name, "champion", version, verdict, GROUNDS, "flow run 1")

    with pytest.raises(Conflict, match="has moved since the gate"):
        approval.propose(store, proposal, verdict)
    assert proposals.list_standings(store, name) == []


def test_alias_that_moves_between_finding_and_approving_is_not_promoted_over(store: Store, name: str, verdict: Verdict):
    proposal = propose(store, name, verdict).proposal
    other = add_version(store, name)
    promote(store, name, other)

    with pytest.raises(Conflict):
        approval.approve(store, proposal, approval.make_review(proposal, "approved", ""))
    assert read_log(store, name).aliases == {"champion": other}


def test_of_those_who_approve_and_reject_one_wins(store: Store, name: str, verdict: Verdict):
    won: list[str] = []
    begin = threading.Barrier(6)
    version = propose(store, name, verdict).proposal.version

    def decide(is_approval: bool) -> None:
        begin.wait()
        try:
            if is_approval:
                approve(store, name, version)
            else:
                approval.reject(store, name, version, "champion", "no")
            won.append("approved" if is_approval else "rejected")
        except Conflict:
            pass

    threads = [threading.Thread(target=decide, args=(number % 2 == 0,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (state,) = set(won)
    assert states(store, name) == {version: state}
    assert len(read_log(store, name).events) == (state == "approved")


def test_cut_off_between_decision_and_event_is_finished_by_the_next(
    store: Store, name: str, verdict: Verdict, tmp_path: Path
):
    version = propose(store, name, verdict).proposal.version
    faulty = FaultyStore(store, tmp_path / "faulty")
    faulty.faults.append(Fault("PutObject", "refused", key="/log/", times=99))
    with pytest.raises(StoreError):
        approve(faulty, name, version, "first")

    assert states(store, name) == {version: "unfinished"}
    assert read_log(store, name).aliases == {}
    with pytest.raises(Conflict, match="approved this proposal first"):
        approval.reject(store, name, version, "champion", "too late")

    event = approve(store, name, version, "second")
    assert event.reason == "first; 0.9 reaches 0.5"
    assert states(store, name) == {version: "approved"}


@pytest.mark.parametrize("address", ["/log/", "review.json"])
def test_answer_that_is_lost_is_known_again(store: Store, name: str, verdict: Verdict, tmp_path: Path, address: str):
    version = propose(store, name, verdict).proposal.version
    faulty = FaultyStore(store, tmp_path / "faulty")
    faulty.faults.append(Fault("PutObject", "time-out after success", key=address))
    event = approve(faulty, name, version)

    assert read_log(store, name).events == (event,)


@pytest.mark.parametrize("field", ["version", "champion", "gate_sha256", "by", "at"])
def test_altered_proposal_is_refused_with_its_key(store: Store, name: str, verdict: Verdict, field: str):
    proposal = propose(store, name, verdict).proposal
    key = key_of(proposal, "proposal")
    stored = json.loads(store.read(key))
    stored["content"][field] = {"by": "eve", "at": "2020-01-01T00:00:00Z"}.get(field, "b" * 64)
    store.replace(key, canonical_json(stored))

    with pytest.raises(Corrupt, match=key) as raised:
        approve(store, name, proposal.version)
    assert raised.value.exit_code == 5

    store.replace(key, proposals._sealed(Proposal.model_validate(stored["content"])))
    if field not in ("by", "at"):
        with pytest.raises(Corrupt, match=key):
            approve(store, name, proposal.version)
    assert read_log(store, name).events == ()


def test_altered_review_is_refused_with_its_key(store: Store, name: str, verdict: Verdict):
    proposal = propose(store, name, verdict).proposal
    approval.reject(store, name, proposal.version, "champion", "no")
    key = key_of(proposal, "review")
    rejected = store.read(key)
    store.replace(key, rejected.replace(b"rejected", b"approved"))
    with pytest.raises(Corrupt, match=key):
        approve(store, name, proposal.version)

    other = propose(store, name, verdict).proposal
    store.replace(key, proposals._sealed(approval.make_review(other, "approved", "")))
    with pytest.raises(Corrupt, match="not the proposal beside it"):
        approve(store, name, proposal.version)


def test_lost_or_altered_verdict_is_refused_with_its_key(store: Store, name: str, verdict: Verdict):
    proposal = propose(store, name, verdict).proposal
    key = blob_key(proposal.gate_sha256)
    store.replace(key, store.read(key).replace(b'"limit":0.5', b'"limit":0.4'))
    with pytest.raises(Corrupt, match=f"{key}: .* altered"):
        approve(store, name, proposal.version)
    store.delete([key])
    with pytest.raises(Corrupt, match=f"{key}: .* not in the store"):
        approve(store, name, proposal.version)

    assert states(store, name) == {proposal.version: "waiting"}


@pytest.mark.parametrize("decision", ["refuse", "undecidable"])
def test_proposal_by_hand_of_what_did_not_pass_is_refused(store: Store, name: str, decision: str):
    failed = weigh((RULE.model_copy(update={"decision": decision}),), rows=secrets.randbelow(10**9))
    store.put_bytes(canonical_json(failed.model_dump(mode="json")))
    log, version = read_log(store, name), add_version(store, name)
    proposal = approval.make_proposal(log, name, "champion", version, failed, GROUNDS, "by hand")
    proposals.add_proposal(store, proposal)

    with pytest.raises(Corrupt, match=f"the verdict is {decision}"):
        approve(store, name, version)
    with pytest.raises(Corrupt, match=f"the verdict is {decision}"):
        approval.approve(store, proposal, approval.make_review(proposal, "approved", ""))
    assert read_log(store, name).events == ()


def test_version_that_was_not_proposed_cannot_be_approved(store: Store, name: str, verdict: Verdict):
    version = add_version(store, name)
    other = propose(store, name, verdict).proposal.version

    with pytest.raises(UsageError, match="was not proposed for 'champion'"):
        approve(store, name, version)
    with pytest.raises(UsageError, match="was not proposed for 'canary'"):
        proposals.find_proposal(store, name, other, "canary")


def test_event_without_a_proposal_has_the_bytes_it_always_had(store: Store, name: str):
    event = make_event(read_log(store, name), add_version(store, name))
    plain = event.model_dump(mode="json")

    assert "proposal_sha256" not in plain
    assert Event.model_validate(plain) == event
    with pytest.raises(ValidationError, match="approval waives no gate"):
        Event.model_validate(plain | {"kind": "override", "gate_sha256": None, "proposal_sha256": "c" * 64})
