"""The check of a proposal before it is approved, with predictions made here.

Alone: pytest tests/flows/chain/test_approval.py
"""

import secrets
from typing import Any

import pandas as pd
import pytest

from flows.chain import approval, gate
from schemas.errors import Conflict, Corrupt
from schemas.frozen import canonical_json, short
from schemas.recipe.gate import Budgets, Gate
from schemas.recipe.problem import TextClassification
from schemas.records.approval import Grounds, Proposal
from schemas.records.references import EvidenceRef, ScoresRef
from schemas.records.verdict import Verdict
from tasks.approval import make_proposal
from tasks.gating import gate_predictions
from tasks.methods.rules.evidence import Evidence
from tasks.services.registry.log import read_log
from tasks.services.registry.versions import add_version
from tasks.services.storage.store import Store
from tasks.services.storage.tables import keep_rows, keep_table
from tests.tasks.services.registry.test_versions import make_manifest, promote

LABELS = ("no", "yes")
PROBLEM = TextClassification(labels=LABELS)
TRUTH = [0, 1] * 60
GATE = Gate(metric="macro_f1", at_least=0.6, non_inferiority_margin=0.1)


def predictions(num_wrong: int) -> pd.DataFrame:
    answers = [1 - truth if number < num_wrong else truth for number, truth in enumerate(TRUTH)]
    ids = [f"row {number}" for number in range(len(TRUTH))]
    probabilities = {"probability": 0.9, "p0": 0.5, "p1": 0.5}
    return pd.DataFrame({"id": ids, "answer": answers, "truth": TRUTH, **probabilities})


class Proposed:
    """A model whose champion gets 6 of 120 rows wrong, and proposals of a version that gets `num_wrong` wrong."""

    def __init__(self, store: Store, monkeypatch) -> None:
        self.store, self.name = store, f"model-{secrets.token_hex(4)}"
        self.rows = keep_rows(store, pd.DataFrame({"id": predictions(0)["id"], "text": "a text", "label": "no"}))
        self.champion, self.version = self.add_version(), self.add_version()
        promote(store, self.name, self.champion)
        self.num_wrong = {self.champion: 6, self.version: 3}
        monkeypatch.setattr(approval, "current_store", lambda: store)
        monkeypatch.setattr(gate, "current_store", lambda: store)
        monkeypatch.setattr(approval, "_answers", lambda _, version, rows: predictions(self.num_wrong[version]))

    def add_version(self) -> str:
        manifest = make_manifest(self.store, self.name, secrets.token_bytes(50))
        shape = {"problem": PROBLEM.model_dump(mode="json")}
        return add_version(self.store, manifest.model_copy(update={"recipe": shape}))

    def scores(self, num_wrong: int) -> ScoresRef:
        blob = keep_table(self.store, predictions(num_wrong))
        plain = {"scores": {}, "intervals": {}, "confusion": ((60, 0), (0, 60)), "labels": LABELS}
        return ScoresRef(**dict(blob), num_rows=len(TRUTH), **plain)

    def proposal(self, claimed: int = 3, by: Gate = GATE, **fields: Any) -> Proposal:
        """A proposal whose evidence says that the candidate gets `claimed` rows wrong."""
        champion = self.scores(6)
        evidence = EvidenceRef.of(
            candidate=self.scores(claimed), labels=LABELS, champion=champion, champion_version=self.champion
        )
        tables = {"candidate": predictions(claimed), "champion": predictions(6)}
        verdict = gate_predictions(GATE, Evidence(labels=LABELS, has_classes=True, **tables))
        self.keep(verdict)
        grounds = Grounds(evidence=evidence, rows=self.rows, gate=by)
        log = read_log(self.store, self.name)
        made = make_proposal(log, self.name, "champion", self.version, verdict, grounds, "run")
        return made.model_copy(update=fields)

    def keep(self, verdict: Verdict) -> str:
        return self.store.put_bytes(canonical_json(verdict.model_dump(mode="json"))).digest


@pytest.fixture
def proposed(store: Store, monkeypatch) -> Proposed:
    return Proposed(store, monkeypatch)


def test_proposal_whose_verdict_comes_out_again_is_accepted(proposed: Proposed):
    approval.check_proposal(proposed.proposal())


def test_verdict_that_the_models_do_not_earn_is_refused_with_the_key(proposed: Proposed):
    proposed.num_wrong[proposed.version] = 70
    proposal = proposed.proposal()

    with pytest.raises(Corrupt, match=f"{proposal.id}/proposal.json: its verdict, computed again, is refuse"):
        approval.check_proposal(proposal)


def test_verdict_that_passes_with_better_values_than_the_models_have_is_refused(proposed: Proposed):
    with pytest.raises(Corrupt, match="passes with other values"):
        approval.check_proposal(proposed.proposal(claimed=0))


def test_difference_by_rounding_is_accepted(proposed: Proposed):
    proposed.num_wrong[proposed.version] = 4

    approval.check_proposal(proposed.proposal())


def test_champion_that_the_log_does_not_name_is_refused(proposed: Proposed):
    with pytest.raises(Corrupt, match="another champion than the log"):
        approval.check_proposal(proposed.proposal(champion=proposed.version))


def test_bootstrap_of_an_alias_that_has_a_champion_is_refused(proposed: Proposed):
    grounds = proposed.proposal().grounds
    evidence = EvidenceRef.of(candidate=grounds.evidence.candidate, labels=LABELS)

    with pytest.raises(Corrupt, match="another champion than the log"):
        approval.check_proposal(proposed.proposal(grounds=grounds.model_copy(update={"evidence": evidence})))


def test_other_rows_than_those_named_are_refused(proposed: Proposed):
    with pytest.raises(Corrupt, match="or other rows"):
        approval.check_proposal(proposed.proposal(evaluation_set_sha256="f" * 64))


def test_rows_that_no_gate_of_the_alias_had_before_are_named(proposed: Proposed, caplog, monkeypatch):
    approval.check_proposal(proposed.proposal())
    told = caplog.text
    caplog.clear()
    log = read_log(proposed.store, proposed.name)
    same = tuple(event.model_copy(update={"evaluation_set_sha256": proposed.rows.digest}) for event in log.events)
    monkeypatch.setattr(approval, "read_log", lambda *_: log.model_copy(update={"events": same}))
    approval.check_proposal(proposed.proposal())

    assert f"had these test rows, SHA-256 {short(proposed.rows.digest)}" in told
    assert "test rows" not in caplog.text


def test_gate_whose_evidence_is_left_out_is_refused(proposed: Proposed):
    guarded = GATE.model_copy(update={"guard_rails": ("words",)})

    with pytest.raises(Corrupt, match="its gate cannot be computed"):
        approval.check_proposal(proposed.proposal(by=guarded))


def test_budget_without_costs_is_refused(proposed: Proposed):
    limited = GATE.model_copy(update={"budgets": Budgets(size=2.0)})

    with pytest.raises(Corrupt, match="lacks the costs"):
        approval.check_proposal(proposed.proposal(by=limited))


def test_proposal_of_an_earlier_tunegate_is_to_be_made_again(proposed: Proposed):
    proposal = proposed.proposal(grounds=None)

    assert "grounds" not in proposal.model_dump(mode="json")
    with pytest.raises(Conflict, match="Run its recipe again"):
        approval.check_proposal(proposal)
