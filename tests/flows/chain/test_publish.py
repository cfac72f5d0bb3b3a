"""Publishing that fails. Alone: pytest tests/flows/chain/test_publish.py."""

import logging
from pathlib import Path
from types import SimpleNamespace

import httpx

from flows.chain import publish
from flows.chain.promotion import Decided
from schemas.recipe.loading import load_recipe
from schemas.records.references import ContractRef, Finding, RowsRef


def test_password_of_the_server_is_not_in_the_traceback_of_what_was_not_published(monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise httpx.ConnectError("no answer of http://ops:hidden@host/api")

    logging.getLogger("flows").propagate = True
    monkeypatch.setattr(publish, "_publish", fail)
    monkeypatch.setattr(publish, "outcome_of", lambda *_: SimpleNamespace(model_copy=lambda update: update))
    result = SimpleNamespace(decided=SimpleNamespace(gated=None), lineage={})

    assert publish.finish(result, None, SimpleNamespace(tracking=None)) == {"report": None}
    assert "Traceback" in caplog.text
    assert "no answer of http://***@host/api" in caplog.text
    assert "hidden" not in caplog.text


def test_findings_of_the_contract_and_of_the_tokens_are_in_the_outcome(make_recipe):
    found = [
        Finding(rows_name=name, clause="x", num_broken=0, num_rows=0, refused=False, remedy="") for name in ("a", "b")
    ]
    rows = RowsRef(digest="0" * 64, size_bytes=1, num_rows=1)
    contract = ContractRef(digest="0" * 64, train=rows, test=rows, findings=(found[0],))
    result = publish.Result(Decided("data-refused"), contract, {}, findings=(found[1],))
    steps = SimpleNamespace(records=[], resumed_from_step=None, tracking=SimpleNamespace(group=""), seconds=0)

    assert publish.outcome_of(result, load_recipe(make_recipe()), steps, Path("x"), "id").findings == tuple(found)
