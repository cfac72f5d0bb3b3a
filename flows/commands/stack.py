"""Commands for the local stack and its deployments."""

import json
import os
import re
import time
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from flows.commands.echo import echo
from flows.commands.options import AsJson
from flows.commands.runtime import make_homes
from schemas.errors import Unavailable, UsageError
from schemas.records.request import RetrainRequest
from schemas.settings import Settings, read_settings, without_password

DRIFT = "tunegate.drift.detected"
EVENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

operations = typer.Typer()


@operations.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the local stack: object store, Prefect server with UI, worker, deployments."""
    from tasks.services.local import stack
    from tasks.services.local.login import CLIENT_LOGIN, server_login
    from tasks.services.local.object_store import open_store

    settings = read_settings()
    # The server started here accepts no other password.
    os.environ[CLIENT_LOGIN] = server_login(settings)
    open_store(settings)
    with stack.exclusive(settings):
        deployed = _start(settings)
    _show(as_json)
    if not as_json:
        _list(deployed)
    if not detach:
        _stay()


def _start(settings: Settings) -> list[Any]:
    """Start the server, register the deployments, start the workers; return the deployments."""
    from tasks.services.local import stack

    echo("starting the Prefect server, which takes half a minute the first time ...", err=True)
    if not stack.start(settings):
        echo("It is already running, with the settings of its start.", err=True)
    deployed = _register(stack.api_of(settings))
    if not stack.has_worker(settings):
        from flows.prefect_server.recovery import recover_runs

        for name in recover_runs():
            echo(f"{name}: interrupted when the stack stopped.", err=True)
    stack.start_workers(settings)
    return deployed


@operations.command()
def down() -> None:
    """Stop the local stack and the embedded S3 server; their data stay."""
    from tasks.services.local import object_store, stack
    from tasks.services.process.home import make_home

    settings = read_settings()
    make_home(settings)
    was_up = stack.stop(settings)
    echo("The Prefect server and the worker were stopped." if was_up else "No local stack was running.")
    stopped = object_store.stop(settings)
    echo("The embedded S3 server was stopped." if stopped else "No embedded S3 server was running.")


@operations.command()
def status(
    as_json: AsJson = False,
    password: Annotated[
        bool, typer.Option("--password", help="Print only NAME:PASSWORD of the stack's Prefect server.")
    ] = False,
) -> None:
    """Show the state and addresses of the stack."""
    if password:
        from tasks.services.local.login import server_login

        echo(server_login(read_settings()))
    else:
        _show(as_json)


@operations.command()
def deploy() -> None:
    """Register the deployments of infra/prefect.yaml with the Prefect server; idempotent."""
    _list(_register(_permanent_api("deploy to")))


@operations.command()
def event(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name, such as tweets/full.")],
    name: Annotated[str, typer.Option(help="The event, as automations name it.")] = DRIFT,
) -> None:
    """Post an event about a recipe to the Prefect server; new data or drift retrains it."""
    api = _permanent_api("post to")
    try:
        RetrainRequest(recipe=recipe)
    except ValidationError:
        raise UsageError(f"{recipe!r} is not the name of a recipe, such as tweets/full, without .yaml.") from None
    if not EVENT.fullmatch(name):
        raise UsageError(f"--name {name!r} is not the name of an event, such as {DRIFT}.")
    make_homes()
    from flows.prefect_server.connection import reach_server, translated_server_failures
    from flows.prefect_server.events import emit, find_recipes

    with translated_server_failures():
        reach_server()
        offered = find_recipes()
        if offered and recipe not in offered:
            raise UsageError(
                f"{recipe!r} is not a recipe of the deployments at {_ui(api)}, so nothing would start. They offer "
                f"{', '.join(sorted(offered))}."
            )
        emit(name, recipe)
    echo(f"{name} was posted for {recipe} to {_ui(api)}.")


def _permanent_api(purpose: str) -> str:
    """Return the address of the configured server or of the stack's. Raises Unavailable."""
    if api := os.environ.get("PREFECT_API_URL"):
        return api
    raise Unavailable(f"There is no Prefect server to {purpose}: `tunegate up` starts one, or set PREFECT_API_URL.")


def _show(as_json: bool) -> None:
    from tasks.services.local import object_store, stack

    settings = read_settings()
    api = stack.running_api(settings)
    states = stack.states(settings) if stack.is_up(settings) else {}
    found = {
        "prefect_api": api,
        "prefect_ui": _ui(api) if api else None,
        "s3_endpoint": settings.s3_endpoint or object_store.running_endpoint(settings),
        "server": states["server"].lower() if states else None,
        "worker": states["worker"].lower() if states else None,
        "trainers": sum(state == "RUNNING" for name, state in states.items() if name.startswith("trainer-")),
    }
    if as_json:
        echo(json.dumps(found))
        return
    for name, value in found.items():
        echo(f"{name.replace('_', ' '):<12} {'not running' if value is None else value}")


def _register(api: str) -> list[Any]:
    """Deploy to a server. Raises Unavailable if it does not answer, or requires a password."""
    os.environ["PREFECT_API_URL"] = api
    make_homes()
    from flows.prefect_server.connection import reach_server, translated_server_failures
    from flows.prefect_server.deployments import deploy as register

    with translated_server_failures():
        reach_server()
        return register(_ui(api))


def _list(deployed: list[Any]) -> None:
    from flows.commands.display import show_deployed

    show_deployed(deployed)
    if not read_settings().notify:
        echo("Notifications are off. Set TUNEGATE_NOTIFY to be notified of failed runs.", err=True)


def _ui(api: str) -> str:
    """Return the address of the UI, without a password."""
    return without_password(api).removesuffix("/api")


def _stay() -> None:
    """Wait for Ctrl-C, then stop the stack."""
    echo("Ctrl-C stops the stack.", err=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        down()
