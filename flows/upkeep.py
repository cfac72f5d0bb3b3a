"""Commands for whoever looks after a registry: moving models between buckets."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.settings import Settings

upkeep = typer.Typer()


@upkeep.command("export")
def export_(
    name: Annotated[str, typer.Argument(help="A model.")],
    folder: Annotated[Path, typer.Argument(help="Will hold it under the same keys; one that holds others is fine.")],
) -> None:
    """Write a model into a folder: its log, versions and files, each checked."""
    from tasks.services.embedded import open_store
    from tasks.services.moving import export_model

    typer.echo(export_model(open_store(Settings()), name, folder))


@upkeep.command("import")
def import_(folder: Annotated[Path, typer.Argument(help="What `tunegate export` has written.")]) -> None:
    """Put what was exported into this store, the log as it was; a log that differs is left alone."""
    from tasks.services.doctor import check_store
    from tasks.services.embedded import open_store
    from tasks.services.moving import import_models

    settings = Settings()
    store = open_store(settings)
    check_store(store, settings.home)
    for moved in import_models(store, folder):
        typer.echo(moved)
