"""Events posted by hand. Alone: pytest tests/flows/commands/test_event.py."""

import pytest

from flows.prefect_server import connection, events
from tests.flows.command import run

API = "http://127.0.0.1:9/api"


@pytest.fixture
def posted(monkeypatch) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    monkeypatch.setenv("PREFECT_API_URL", API)
    monkeypatch.setattr(connection, "reach_server", lambda: None)
    monkeypatch.setattr(events, "find_recipes", lambda: {"tweets/full", "tweets/lora"})
    monkeypatch.setattr(events, "emit", lambda name, recipe: made.append((name, recipe)))
    return made


def test_drift_is_posted_unless_another_event_is_named(posted):
    said = run("event", "tweets/full").stdout
    run("event", "tweets/full", "--name", "our.monitor")

    assert said == "tunegate.drift.detected was posted for tweets/full to http://127.0.0.1:9.\n"
    assert posted == [("tunegate.drift.detected", "tweets/full"), ("our.monitor", "tweets/full")]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["../x"], "'../x' is not the name of a recipe"),
        (["tweets/full.yaml"], "without .yaml"),
        ([""], "'' is not the name of a recipe"),
        (
            ["tweets/ful"],
            "'tweets/ful' is not a recipe of the deployments at http://127.0.0.1:9, so nothing would start",
        ),
        (["tweets/ful"], "They offer tweets/full, tweets/lora."),
        (["a", "--name", ""], "--name '' is not the name of an event, such as tunegate.drift.detected"),
        (["a", "--name", "two words"], "is not the name of an event"),
    ],
)
def test_what_no_automation_could_match_is_refused(posted, arguments: list[str], found: str):
    result = run("event", *arguments)

    assert result.exit_code == 2
    assert found in result.stderr
    assert posted == []


def test_without_a_server_it_says_what_to_do(posted, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL")
    result = run("event", "tweets/full")

    assert result.exit_code == 5
    assert "There is no Prefect server to post to: `tunegate up` starts one" in result.stderr
