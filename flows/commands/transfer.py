"""Commands for whoever looks after a registry: moving models between buckets, and tracking runs to W&B."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.runtime import disk_failures_told, log_to_stderr
from schemas.errors import Unavailable, UsageError
from schemas.settings import Settings

upkeep = typer.Typer()


@upkeep.command("export")
def export_(
    name: Annotated[str, typer.Argument(help="A model.")],
    folder: Annotated[Path, typer.Argument(help="Will hold it under the same keys; one that holds others is fine.")],
) -> None:
    """Write a model into a folder: its log, versions and files, each checked."""
    from tasks.services.local.object_store import open_store
    from tasks.services.registry.transfer import export_model

    store = open_store(Settings())
    with disk_failures_told(folder):
        typer.echo(export_model(store, name, folder))


@upkeep.command("import")
def import_(folder: Annotated[Path, typer.Argument(help="What `tunegate export` has written.")]) -> None:
    """Put what was exported into this store, the log as it was; a log that differs is left alone."""
    from tasks.services.local.object_store import open_store
    from tasks.services.registry.doctor import check_store
    from tasks.services.registry.transfer import import_models

    settings = Settings()
    log_to_stderr()
    store = open_store(settings)
    check_store(store, settings.home)
    with disk_failures_told(folder):
        for moved in import_models(store, folder):
            typer.echo(moved)


@upkeep.command()
def sync(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be sent, and send nothing.")] = False,
) -> None:
    """Send the tracking runs that lie here to W&B; one that has arrived is marked, and not sent again."""
    from tasks.services.tracking import sync

    home = Settings().home
    if not (dry_run or os.environ.get("WANDB_API_KEY")):
        raise UsageError(
            "WANDB_API_KEY is not set, so W&B would take nothing. Set it to the key of your account, which W&B shows "
            "at /authorize, then run again; `tunegate sync --dry-run` lists what would be sent."
        )
    runs = sync.find_unsent(home)
    if dry_run:
        for path in runs:
            typer.echo(sync.name_of(path))
        typer.echo(f"{_count(len(runs))} of {home / 'wandb'} would be sent.")
    else:
        typer.echo(f"{_count(_send(runs))} of {home / 'wandb'} sent.")


def _send(runs: list[Path]) -> int:
    """Send one run after another and give how many; one that fails does not keep the others. Raises Unavailable."""
    from tasks.services.tracking import sync

    failed: dict[str, str] = {}
    for number, path in enumerate(runs):
        name = sync.name_of(path)
        try:
            sync.check_server()
        except Unavailable as error:
            left = len(runs) - number + len(failed)
            raise Unavailable(
                f"{error} {_count(left)} of {len(runs)} still to be sent. Check WANDB_BASE_URL and the network, then "
                "run again: nothing is lost, and what was sent is not sent twice."
            ) from None
        try:
            sync.send(path)
        except Unavailable as error:
            failed[name] = str(error)
        typer.echo(f"{number + 1}/{len(runs)}  {name}  {failed.get(name, 'sent')}", err=True)
    if failed:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
        raise Unavailable(
            f"{_count(len(failed))} of {len(runs)} not sent:\n{reasons}\nThey stay where they are. Check WANDB_API_KEY "
            "and what it may write, then run again: only they are sent."
        )
    return len(runs)


def _count(runs: int) -> str:
    return f"{runs} tracking run{'' if runs == 1 else 's'}"
