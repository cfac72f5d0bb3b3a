"""Commands for garbage collection and pins."""

import json
from typing import Annotated

import typer

from flows.commands.echo import echo
from flows.commands.options import AsJson, Reference
from flows.commands.runtime import log_to_stderr, resolve
from schemas.errors import UsageError
from schemas.frozen import short
from schemas.visible import visible

retention = typer.Typer()
MAX_DAYS = 36_500


@retention.command()
def gc(
    apply: Annotated[bool, typer.Option("--apply", help="Condemn and delete; a dry run without it.")] = False,
    versions: Annotated[int, typer.Option(min=1, help="Last versions of each alias to keep.")] = 5,
    days: Annotated[float, typer.Option(min=0, max=MAX_DAYS, help="Keep whatever is younger.")] = 90.0,
    as_json: AsJson = False,
) -> None:
    """List unreferenced objects; with --apply condemn them, and delete those condemned a day ago."""
    from flows.commands.display import show_garbage
    from tasks.services.local.object_store import current_store
    from tasks.services.registry.gc import Retention, collect, preview

    log_to_stderr()
    store, kept = current_store(), Retention(versions=versions, days=days)
    found = collect(store, kept) if apply else preview(store, kept)
    given = [f" --{name} {value}".removesuffix(".0") for name, value in kept.model_dump(exclude_defaults=True).items()]
    show_garbage(found, apply, f"tunegate gc --apply{''.join(given)}")
    if as_json:
        echo(json.dumps(found.model_dump(mode="json", exclude={"kept"}) | {"applied": apply}))


@retention.command()
def pin(reference: Reference, reason: Annotated[str, typer.Option(help="The reason to keep it.")]) -> None:
    """Keep a version, whatever its aliases, until `unpin`."""
    from tasks.services.process.identity import user_name
    from tasks.services.registry.pins import Pin, list_pins
    from tasks.services.registry.versions import pin_version

    if not reason.strip():
        raise UsageError("--reason is empty; say why this version must be kept.")
    log_to_stderr()
    store, name, version = resolve(reference)
    before = list_pins(store, name).get(version)
    pin_version(store, name, version, Pin(reason=reason, by=user_name()))
    if before:
        echo(f"{before.by} had pinned it before: {visible(before.reason)}. The new reason replaces that one.")
    echo(f"{name}@{short(version)} is kept until `tunegate unpin {name}@{short(version)}`.")


@retention.command()
def unpin(reference: Reference) -> None:
    """Remove a pin; other rules may still keep the version."""
    from tasks.services.registry import pins

    store, name, version = resolve(reference)
    if not pins.unpin(store, name, version):
        raise UsageError(f"{name}@{short(version)} is not pinned.")
    echo(f"{name}@{short(version)} is not pinned any more.")
