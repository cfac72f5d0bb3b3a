"""A local stack of its own for a test: `tunegate up` on a free port, with a tiny recipe where the deployments look."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.conftest import recipe_maker

TUNEGATE = Path(sys.executable).with_name("tunegate")


class Stack:
    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.api = self.login = ""

    @property
    def ui(self) -> str:
        return self.api.removesuffix("/api")

    def command(self, *arguments: str, exit_code: int = 0, **more: str) -> str:
        """Give what was printed where the command ends as expected, its message where that is an error."""
        environment = self.environment | more
        done = subprocess.run([TUNEGATE, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == exit_code, done.stderr
        return done.stderr if exit_code else done.stdout

    @contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        asked = {PREFECT_API_URL: self.api, PREFECT_API_AUTH_STRING: self.login}
        with temporary_settings(asked), get_client(sync_client=True) as client:
            yield client


@contextmanager
def local_stack(folder: Path, tiny_model: Path, **more: str) -> Iterator[Stack]:
    tweets = folder / "recipes" / "tweets"
    (tweets / "incoming").mkdir(parents=True)
    # In the place of the one that the shipped deployments name.
    recipe_maker(tweets, tiny_model)(
        "tiny",
        data={
            "train": {"path": "incoming/*.csv", "text": "text", "label": "label"},
            "test": {"path": "test.csv", "text": "text", "label": "label"},
        },
        gate={"at_least": 0.5, "non_inferiority_margin": 0.5},
    )
    (tweets / "tiny.yaml").rename(tweets / "full.yaml")
    (tweets / "train.csv").rename(tweets / "incoming" / "first.csv")
    ours = {
        "TUNEGATE_HOME": folder / "home",
        "TUNEGATE_RECIPES": tweets.parent,
        "TUNEGATE_PREFECT_PORT": free_port(),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    made = Stack(folder, environment | {name: str(value) for name, value in ours.items()} | more)
    try:
        made.command("up", "--detach")
        made.api = json.loads(made.command("status", "--json"))["prefect_api"]
        made.login = made.command("status", "--password").strip()
        yield made
    finally:
        made.command("down")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(client: SyncPrefectClient, name: str, **parameters: Any) -> FlowRun:
    deployment = client.read_deployment_by_name(name)
    return client.create_flow_run_from_deployment(deployment.id, parameters=parameters)


def until(found: Callable[[], Any], seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while not (what := found()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.5)
    return what


def ended(client: SyncPrefectClient, flow_run_id: UUID) -> FlowRun | None:
    found = client.read_flow_run(flow_run_id)
    return found if found.state and found.state.is_final() else None


def run_deployment(client: SyncPrefectClient, name: str, seconds: float = 180, **parameters: Any) -> FlowRun:
    started = start(client, name, **parameters)
    return until(lambda: ended(client, started.id), seconds)


def look(client: SyncPrefectClient, recipe: str) -> FlowRun:
    """Look for new data; a look that meets the one of the schedule is cancelled, and begins again."""
    while (run := run_deployment(client, "watch/watch", recipes=[recipe])).state.is_cancelled():
        pass
    return run
