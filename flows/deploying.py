"""Register the deployments of infra/prefect.yaml with the Prefect server, as often as wanted."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from schemas.errors import Unavailable
from tasks.services.stack import POOL

ROOT = Path(__file__).resolve().parents[1]
LAST_LINES = 15


class Deployed(NamedTuple):
    name: str
    link: str


def deploy(ui: str) -> list[Deployed]:
    """Create or update the work pool and every deployment; give them with their pages. Raises Unavailable."""
    with get_client(sync_client=True) as client:
        _make_pool(client)
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        done = subprocess.run(
            [*command, "--prefect-file", str(ROOT / "infra" / "prefect.yaml")],
            cwd=ROOT,
            env=os.environ | {"TUNEGATE_ROOT": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-LAST_LINES:])
            raise Unavailable(f"infra/prefect.yaml was not deployed:\n{said}")
        return list_deployed(client, ui)


def list_deployed(client: SyncPrefectClient, ui: str) -> list[Deployed]:
    """Give the deployments of our work pool, by name."""
    found = [one for one in client.read_deployments() if one.work_pool_name == POOL]
    flows = {one.flow_id: client.read_flow(one.flow_id).name for one in found}
    links = [Deployed(f"{flows[one.flow_id]}/{one.name}", f"{ui}/v2/deployments/deployment/{one.id}") for one in found]
    return sorted(links)


def _make_pool(client: SyncPrefectClient) -> None:
    try:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    except ObjectAlreadyExists:
        return
