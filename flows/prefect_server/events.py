"""Events about recipes, on which automations of the Prefect server retrain."""

from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.events import Event


def find_recipes() -> set[str]:
    """Return the names of recipes that the server's deployments offer; a run for another one never starts."""
    with get_client(sync_client=True) as client:
        schemas = [deployment.parameter_openapi_schema or {} for deployment in client.read_deployments()]
    requests = [schema.get("definitions", {}).get("RetrainRequest", {}) for schema in schemas]
    return {name for one in requests for name in one.get("properties", {}).get("recipe", {}).get("enum", ())}


def emit(event: str, recipe: str, event_id: UUID | None = None, **payload: object) -> None:
    """Post an event, raising on failure; Prefect's emit_event would lose it silently.

    The server takes an event whose id it has seen for the same one.
    """
    made = Event(
        event=event,
        resource={"prefect.resource.id": f"tunegate.recipe.{recipe}", "prefect.resource.name": recipe},
        payload={"recipe": recipe, **payload},
        id=event_id or uuid4(),
    )
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[made.model_dump(mode="json")])
