"""The registry's commands: what there is, what it was, taking it back, having it checked."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from schemas.errors import Corrupt, StoreError, UsageError
from schemas.settings import Settings

registry = typer.Typer()
Name = Annotated[str, typer.Argument(help="A model.")]
Alias = Annotated[str, typer.Option(help="What services ask for.")]
Reason = Annotated[str, typer.Option(help="What the log will tell.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and tell, but change nothing.")]
SHORT = 12


@registry.command()
def models(name: Annotated[str | None, typer.Argument(help="Show the versions of one model.")] = None) -> None:
    """List models with their aliases, or the versions of one."""
    from flows.display import show_models, show_versions
    from tasks.services.embedded import open_store

    store = open_store(Settings())
    if name is None:
        show_models(store)
    else:
        show_versions(store, name)


@registry.command()
def history(name: Name) -> None:
    """List every promotion of a model: when, what, by whom and why."""
    from flows.display import show_history
    from tasks.services.embedded import open_store

    show_history(open_store(Settings()), name)


@registry.command()
def rollback(
    name: Name,
    reason: Reason,
    to: Annotated[str | None, typer.Option(help="A version; the one before the present one unless given.")] = None,
    alias: Alias = "champion",
    dry_run: DryRun = False,
) -> None:
    """Take a promotion back: the alias names the version before, once that was read and loaded."""
    _release("rollback", name, reason, to, alias, dry_run)


@registry.command()
def promote(
    name: Name,
    version: Annotated[str, typer.Argument(help="A version, or the beginning of one.")],
    reason: Reason,
    override: Annotated[bool, typer.Option("--override", help="Skip the gate; the log says so.")] = False,
    alias: Alias = "champion",
    dry_run: DryRun = False,
) -> None:
    """Make an alias name a version without a gate; the gate promotes by `tunegate run`."""
    if not override:
        raise UsageError(
            "promote asks no gate, which has to be meant: add --override. To have a version judged, `tunegate gate "
            f"RECIPE --candidate {name}@{version}`; to train, judge and promote, `tunegate run RECIPE`."
        )
    _release("override", name, reason, version, alias, dry_run)


def _release(
    kind: Literal["rollback", "override"], name: str, reason: str, version: str | None, alias: str, dry_run: bool
) -> None:
    from flows.cli import engine

    if not reason.strip():
        raise UsageError("--reason is empty; the log tells it to whoever asks why.")
    with contextlib.redirect_stdout(sys.stderr), engine():
        from flows.release import check_loads, find_target, release

        if dry_run:
            target = find_target(name, kind, version, alias)
            check_loads(name, target)
        else:
            target = release(name, kind, reason, version, alias).to_version
    would = "would name" if dry_run else "names"
    typer.echo(f"{name}@{alias} {would} {target[:SHORT]}, whose files were read and loaded.")


@registry.command()
def verify(
    reference: Annotated[str, typer.Argument(metavar="REF", help="NAME@ALIAS, NAME@VERSION, or NAME for all of it.")],
) -> None:
    """Read every byte of a version, or of a model's log and versions, and compare digests."""
    from tasks.services.embedded import open_store
    from tasks.services.registry import resolve_reference
    from tasks.services.verification import find_faults, find_faults_of_model

    store = open_store(Settings())
    if "@" in reference:
        name, version = resolve_reference(store, reference)
        found = iter([(version, find_faults(store, name, version))])
    else:
        found = find_faults_of_model(store, reference)
    faults: list[str] = []
    for what, wrong in found:
        typer.echo(f"{what[:SHORT]:12}  {'; '.join(wrong) if wrong else 'as it should be'}")
        faults += wrong
    if faults:
        raise Corrupt(f"{len(faults)} objects of {reference} are not what they should be; they are named above.")


@registry.command()
def pull(
    reference: Annotated[str, typer.Argument(metavar="REF", help="NAME@ALIAS or NAME@VERSION.")],
    folder: Annotated[Path, typer.Argument(help="A link of this name will hold the files.")],
) -> None:
    """Fetch a version's files, check them, and swap them in at once."""
    from tasks.services.embedded import open_store
    from tasks.services.pulling import pull_version
    from tasks.services.registry import resolve_reference

    store = open_store(Settings())
    name, version = resolve_reference(store, reference)
    written = pull_version(store, name, version, folder)
    typer.echo(f"{folder} holds {name}@{version[:SHORT]}; {written} files were fetched.")


@registry.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")] = False,
) -> None:
    """Try whether the store keeps the promises that the registry rests on."""
    from tasks.services.doctor import examine
    from tasks.services.embedded import open_store

    settings = Settings()
    found = examine(open_store(settings), settings.home)
    for finding in found.findings:
        told = "kept" if finding.is_kept else "BROKEN" if finding.is_needed else "missing"
        typer.echo(f"{told:7}  {finding.promise}: {finding.seen}")
    if as_json:
        typer.echo(found.model_dump_json())
    if found.broken:
        raise StoreError("This store does not keep what the registry rests on; nothing will be promoted to it.")
