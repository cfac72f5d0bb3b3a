"""Deploying that fails, and automations. Alone: pytest tests/flows/prefect_server/test_deployments.py."""

from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from prefect.events.actions import DoNothing
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger

from flows.prefect_server import deployments
from schemas.errors import Unavailable, UsageError


@pytest.mark.usefixtures("prefect_engine")
def test_what_prefect_says_of_a_failure_is_shown_without_a_password(monkeypatch):
    # One is told of what is cut within the password.
    told_of = [f"{text} http://ops:hid/hidden@host/api: it said no" for text in ("could not reach", "x" * 580)]
    said = SimpleNamespace(returncode=1, stdout="", stderr="\n".join(told_of))
    monkeypatch.setattr(deployments.subprocess, "run", lambda *_, **__: said)

    with pytest.raises(Unavailable) as told:
        deployments.deploy("http://host")
    assert "was not deployed:\ncould not reach http://***@host/api: it said no\nxxx" in str(told.value)
    assert "hid" not in str(told.value)


class Client:
    """What Prefect's server has of one name."""

    def __init__(self, *automations: Automation) -> None:
        self.automations = list(automations)

    def read_automations_by_name(self, name: str) -> list[Automation]:
        return list(self.automations)

    def delete_automation(self, number: UUID) -> None:
        self.automations = [one for one in self.automations if one.id != number]


def test_automation_that_is_there_twice_is_there_once_afterwards():
    """It would start every retraining twice."""
    wanted = AutomationCore(name="retrain", trigger=EventTrigger(posture="Reactive"), actions=[DoNothing()])
    first, second = (Automation(id=uuid4(), **dict(wanted)) for _ in range(2))
    client = Client(first, second)
    deployments._apply(client, wanted)

    assert client.automations == [first]


def test_recipe_that_is_not_there_is_told_before_anything_is_deployed(monkeypatch, tmp_path):
    (tmp_path / "mine.yaml").write_text("")
    monkeypatch.setenv("TUNEGATE_RECIPES", str(tmp_path))

    with pytest.raises(UsageError, match=r"weekly runs the recipe tweets/full, which is not in .*\(mine\)"):
        deployments.deploy("http://host")


def test_deployments_are_those_of_the_checkout():
    assert (deployments.ROOT / "infra" / "prefect.yaml").is_file()
    assert (deployments.ROOT / "flows" / "retrain.py").is_file()
