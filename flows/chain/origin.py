"""Origin of a flow run for W&B: deployment, recipe, name and page of the flow run."""

import logging

from prefect.runtime import deployment, flow_run
from prefect.settings import PREFECT_API_URL

from schemas.recipe.recipe import Recipe
from schemas.settings import Settings, without_password
from tasks.services.tracking.wandb_runs import TrackingContext

log = logging.getLogger(__name__)


def tracking_of(recipe: Recipe, settings: Settings) -> TrackingContext:
    flow_run_id = str(flow_run.id)
    return TrackingContext.of_flow_run(recipe.tracking.project, flow_run_id, settings.home, _origin(recipe.name))


def _origin(recipe: str) -> dict[str, str]:
    found = {"recipe": recipe}
    try:
        found |= {"flow run": flow_run.name, "page": _page()}
        found |= {"deployment": f"{flow_run.flow_name}/{deployment.name}" if deployment.id else ""}
    except Exception as error:
        # Prefect may raise anything here; a name must not end a flow run.
        reason = without_password(str(error))
        log.warning("The origin of this run is unknown to Prefect (%s): W&B gets only the recipe's name.", reason)
    return {name: value for name, value in found.items() if value}


def _page() -> str:
    """Return the run's page in the Prefect UI, without a password; empty for a temporary server."""
    api = without_password(PREFECT_API_URL.value() or "")
    return f"{api.removesuffix('/api')}/v2/runs/flow-run/{flow_run.id}" if api else ""
