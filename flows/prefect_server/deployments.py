"""Registration of the deployments and automations of infra/ with the Prefect server; idempotent."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectAlreadyExists

from flows.prefect_server.notifications import find_blocks
from schemas.errors import Unavailable, UsageError
from schemas.records.request import recipe_names
from schemas.settings import read_settings, without_password
from tasks.services.local.supervisor import POOLS

ROOT = Path(__file__).resolve().parents[2]
LAST_LINES, WIDTH = 15, 600


class Deployed(NamedTuple):
    name: str
    schedule: str
    link: str
    id: str


def deploy(ui: str) -> list[Deployed]:
    """Create or update work pools, deployments, automations; return the deployments. Raises Unavailable, UsageError."""
    _check_recipes()
    with get_client(sync_client=True) as client:
        blocks = find_blocks(client, read_settings().notify, ui)
        for pool in POOLS:
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        done = subprocess.run(
            [*command, "--prefect-file", str(ROOT / "infra" / "prefect.yaml")],
            cwd=ROOT,
            env={"TUNEGATE_ROOT": str(ROOT)} | os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            # Prefect prints the server's address with its password, so hide that before cutting lines.
            lines = without_password(done.stdout + done.stderr).strip().splitlines()[-LAST_LINES:]
            output = "\n".join(line[:WIDTH] for line in lines)
            raise Unavailable(f"infra/prefect.yaml was not deployed:\n{output}")
        deployed = list_deployed(client, ui)
        for automation in _read_automations({one.name: one.id for one in deployed}, blocks):
            _apply(client, automation)
        return deployed


def _check_recipes() -> None:
    """Raise UsageError where a deployment names a recipe that is not there; Prefect's own words are a traceback."""
    folder = read_settings().recipes
    known = recipe_names(folder)
    described = yaml.safe_load((ROOT / "infra" / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    for deployment in described:
        parameters = deployment.get("parameters", {})
        for name in (*parameters.get("recipes", ()), parameters.get("request", {}).get("recipe")):
            if name and name not in known:
                raise UsageError(
                    f"infra/prefect.yaml: {deployment['name']} runs the recipe {name}, which is not in {folder}. Name "
                    f"one that is there ({', '.join(known[:20]) or 'none yet'}), or remove the deployment."
                )


def list_deployed(client: SyncPrefectClient, ui: str) -> list[Deployed]:
    ours = WorkPoolFilter(name=WorkPoolFilterName(any_=list(POOLS)))
    found = client.read_deployments(work_pool_filter=ours)
    flows = {one.flow_id: client.read_flow(one.flow_id).name for one in found}
    page = f"{ui}/v2/deployments/deployment"
    return sorted(
        Deployed(f"{flows[one.flow_id]}/{one.name}", _schedule_of(one), f"{page}/{one.id}", str(one.id))
        for one in found
    )


def _schedule_of(deployment: DeploymentResponse) -> str:
    """Format the active cron schedules with their time zones."""
    on = [one.schedule for one in deployment.schedules if one.active and isinstance(one.schedule, CronSchedule)]
    return ", ".join(f"{schedule.cron} {schedule.timezone}" for schedule in on) or "-"


def _read_automations(ids: dict[str, str], blocks: list[UUID]) -> list[AutomationCore]:
    described = yaml.safe_load((ROOT / "infra" / "automations.yaml").read_text(encoding="utf-8"))["automations"]
    for automation in described:
        automation["actions"] = [one for action in automation["actions"] for one in _complete(action, ids, blocks)]
    return [AutomationCore.model_validate(automation) for automation in described]


def _complete(action: dict[str, Any], ids: dict[str, str], blocks: list[UUID]) -> list[dict[str, Any]]:
    """Insert the id of an action's target; repeat a notification for each block."""
    if action["type"] == "send-notification":
        return [action | {"block_document_id": block} for block in blocks]
    if "deployment" in action:
        known = {name: value for name, value in action.items() if name != "deployment"}
        if action["deployment"] not in ids:
            raise UsageError(
                f"infra/automations.yaml runs {action['deployment']}, which infra/prefect.yaml does not have."
            )
        return [known | {"deployment_id": ids[action["deployment"]]}]
    return [action]


def _apply(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Create or update an automation; delete duplicates, and one without actions."""
    found = client.read_automations_by_name(automation.name)
    for one in found[1:] if automation.actions else found:
        client.delete_automation(one.id)
    if not automation.actions:
        return
    if not found:
        client.create_automation(automation)
    elif AutomationCore.model_validate(found[0].model_dump(include=set(AutomationCore.model_fields))) != automation:
        # Only if different: an update discards the state of a pending automation.
        client.update_automation(found[0].id, automation)
