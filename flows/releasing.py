"""The commands that make an alias name another version, or keep it from doing so."""

import contextlib
import sys
from typing import Annotated, Literal

import typer

from flows.registry import SHORT, Name
from schemas.errors import UsageError
from schemas.settings import Settings

releasing = typer.Typer()
Version = Annotated[str, typer.Argument(help="A version, or the beginning of one.")]
Alias = Annotated[str, typer.Option(help="What services ask for.")]
Reason = Annotated[str, typer.Option(help="What the log will tell.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and tell, but change nothing.")]


@releasing.command()
def rollback(
    name: Name,
    reason: Reason,
    to: Annotated[str | None, typer.Option(help="A version; the one before the present one unless given.")] = None,
    alias: Alias = "champion",
    dry_run: DryRun = False,
) -> None:
    """Take a promotion back: the alias names the version before, once that was read and loaded."""
    _release("rollback", name, _given(reason), to, alias, dry_run)


@releasing.command()
def promote(
    name: Name,
    version: Version,
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
    _release("override", name, _given(reason), version, alias, dry_run)


@releasing.command()
def proposals(name: Name) -> None:
    """List what passed its gate and waits for a person, or did, with what was said."""
    from flows.display import show_proposals
    from tasks.services.embedded import open_store

    show_proposals(open_store(Settings()), name)


@releasing.command()
def approve(
    name: Name, version: Version, reason: Reason = "", alias: Alias = "champion", dry_run: DryRun = False
) -> None:
    """Promote what a run has proposed, if its verdict is a pass and the alias is where it was; `reject` says no."""
    _release("approve", name, reason.strip(), version, alias, dry_run)


@releasing.command()
def reject(name: Name, version: Version, reason: Reason, alias: Alias = "champion") -> None:
    """Veto what a run has proposed: it cannot be approved any more."""
    from tasks.approval import reject as veto
    from tasks.services.embedded import open_store

    veto(open_store(Settings()), name, version, alias, _given(reason))
    typer.echo(f"{name}@{version[:SHORT]} was rejected for {alias}, which names what it did.")


def _given(reason: str) -> str:
    if not reason.strip():
        raise UsageError("--reason is empty; the log tells it to whoever asks why.")
    return reason


def _release(
    kind: Literal["approve", "rollback", "override"],
    name: str,
    reason: str,
    version: str | None,
    alias: str,
    dry_run: bool,
) -> None:
    from flows.cli import engine

    with contextlib.redirect_stdout(sys.stderr), engine():
        from flows.release import check_loads, find_target, release

        if dry_run:
            target = find_target(name, kind, version, alias)
            check_loads(name, target)
        else:
            target = release(name, kind, reason, version, alias).to_version
    would = "would name" if dry_run else "names"
    typer.echo(f"{name}@{alias} {would} {target[:SHORT]}, whose files were read and loaded.")
