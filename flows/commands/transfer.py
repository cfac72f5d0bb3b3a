"""Commands for transfers: models between buckets, and tracking runs to W&B."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.echo import echo
from flows.commands.options import Name
from flows.commands.runtime import log_to_stderr, translated_disk_failures
from schemas.errors import Unavailable, UsageError
from schemas.settings import read_settings

upkeep = typer.Typer()


@upkeep.command("export")
def export_(name: Name, folder: Annotated[Path, typer.Argument(help="The target; it may hold other models.")]) -> None:
    """Export a model into a folder: its log, versions and files, all verified."""
    from tasks.services.local.object_store import current_store
    from tasks.services.registry.transfer import export_model

    store = current_store()
    with translated_disk_failures(folder):
        echo(export_model(store, name, folder))


@upkeep.command("import")
def import_(folder: Annotated[Path, typer.Argument(help="A folder written by `tunegate export`.")]) -> None:
    """Import exported models into this store, with their logs; a log that differs is refused."""
    from tasks.services.local.object_store import current_store
    from tasks.services.registry.doctor import check_store
    from tasks.services.registry.transfer import import_models

    log_to_stderr()
    store = current_store()
    check_store(store, read_settings().home)
    with translated_disk_failures(folder):
        for imported in import_models(store, folder):
            echo(imported)


@upkeep.command()
def sync(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs without sending them.")] = False,
) -> None:
    """Sync local tracking runs to W&B; a run that has arrived is marked and not sent again."""
    from tasks.services.tracking import sync

    home = read_settings().home
    if not (dry_run or os.environ.get("WANDB_API_KEY")):
        raise UsageError(
            "WANDB_API_KEY is not set, so W&B would accept nothing. Set it to the key of your account, which W&B shows "
            "at /authorize, then run again; `tunegate sync --dry-run` lists the runs."
        )
    runs = sync.find_unsynced(home)
    if dry_run:
        for path in runs:
            echo(sync.name_of(path))
        echo(f"{_count(len(runs))} of {home / 'wandb'} would be sent.")
    else:
        echo(f"{_count(_sync(runs))} of {home / 'wandb'} sent.")


def _sync(runs: list[Path]) -> int:
    """Sync each run and return their number; a failure does not stop the others. Raises Unavailable at the end."""
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
            sync.sync_run(path)
        except Unavailable as error:
            failed[name] = str(error)
        echo(f"{number + 1}/{len(runs)}  {name}  {failed.get(name, 'sent')}", err=True)
    if failed:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
        raise Unavailable(
            f"{_count(len(failed))} of {len(runs)} not sent:\n{reasons}\nThey are kept. Check WANDB_API_KEY "
            "and its permissions, then run again: only these are sent."
        )
    return len(runs)


def _count(runs: int) -> str:
    return f"{runs} tracking run{'' if runs == 1 else 's'}"
