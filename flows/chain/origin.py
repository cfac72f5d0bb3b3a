"""Whose flow run this is, as W&B is told: deployment, recipe, the flow run's name and its page."""

import logging

from prefect.runtime import deployment, flow_run
from prefect.settings import PREFECT_API_URL

from schemas.recipe.recipe import Recipe
from schemas.settings import Settings, without_password
from tasks.services.tracking.wandb_runs import TrackingContext

log = logging.getLogger(__name__)


def tracking_of(recipe: Recipe, settings: Settings) -> TrackingContext:
    """What every tracking run of the present flow run has in common."""
    flow_run_id = str(flow_run.id)
    return TrackingContext.of_flow_run(recipe.tracking.project, flow_run_id, settings.home, _origin(recipe.name))


def _origin(recipe: str) -> dict[str, str]:
    found = {"recipe": recipe}
    try:
        found |= {"flow run": flow_run.name, "page": _page(), "deployment": _deployment()}
    except Exception as error:
        # Whatever Prefect raises: a name is not worth a flow run.
        said = without_password(str(error))
        log.warning("Prefect did not tell where this run comes from (%s): W&B is told the recipe only.", said)
    return {name: value for name, value in found.items() if value}


def _deployment() -> str:
    return f"{flow_run.flow_name}/{deployment.name}" if deployment.id else ""


def _page() -> str:
    """Where the Prefect UI shows the run, without a password; a server that ends with the command shows nothing."""
    api = without_password(PREFECT_API_URL.value() or "")
    return f"{api.removesuffix('/api')}/v2/runs/flow-run/{flow_run.id}" if api else ""
