"""Deploying that fails. Alone: pytest tests/flows/test_deploying.py."""

from types import SimpleNamespace

import pytest

from flows import deploying
from schemas.errors import Unavailable


@pytest.mark.usefixtures("prefect_engine")
def test_what_prefect_says_of_a_failure_is_shown_without_a_password(monkeypatch):
    # One is told of what is cut within the password.
    told_of = [f"{text} http://ops:hid/hidden@host/api: it said no" for text in ("could not reach", "x" * 580)]
    said = SimpleNamespace(returncode=1, stdout="", stderr="\n".join(told_of))
    monkeypatch.setattr(deploying.subprocess, "run", lambda *_, **__: said)

    with pytest.raises(Unavailable) as told:
        deploying.deploy("http://host")
    assert "was not deployed:\ncould not reach http://***@host/api: it said no\nxxx" in str(told.value)
    assert "hid" not in str(told.value)
