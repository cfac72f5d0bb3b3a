"""Publishing that fails. Alone: pytest tests/flows/chain/test_publish.py."""

import logging
from types import SimpleNamespace

import httpx

from flows.chain import publish


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
