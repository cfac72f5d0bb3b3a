"""The commands that make an alias name another version, or keep it from doing so."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.commands.models import Name
from flows.commands.runtime import end, engine, failure_told
from schemas.errors import UsageError
from schemas.frozen import short
from schemas.recipe.loading import load_recipe
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
    reason: Reason = "",
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="RECIPE", help="By whose gate the version is judged."),
    ] = None,
    override: Annotated[bool, typer.Option("--override", help="Skip the gate; the log says so.")] = False,
    alias: Annotated[str | None, typer.Option(help="What services ask for; the recipe's unless given.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Make an alias name a version that passes a recipe's gate, or past the gate. Exit codes are those of `run`."""
    if (recipe is None) != override:
        raise UsageError(
            "promote needs a gate, or that skipping it is meant: give --recipe RECIPE, which judges the version "
            "against the model in use, or --override, but not both. `tunegate run RECIPE` trains, judges and promotes."
        )
    if recipe is None:
        _release("override", name, _given(reason), version, "champion" if alias is None else alias, dry_run)
    else:
        _judge(name, version, reason.strip(), recipe, alias, dry_run)


@releasing.command()
def proposals(name: Name) -> None:
    """List what passed its gate and waits for a person, or did, with what was said."""
    from flows.commands.display import show_proposals
    from tasks.services.local.object_store import open_store

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
    from tasks.services.local.object_store import open_store
    from tasks.services.registry.doctor import check_store
    from tasks.services.registry.log import checked_name

    settings, said = Settings(), _given(reason)
    checked_name(alias, "an alias")
    store = open_store(settings)
    check_store(store, settings.home)
    veto(store, name, version, alias, said)
    typer.echo(f"{name}@{short(version)} was rejected for {alias}: the alias names the version that it named before.")


def _given(reason: str) -> str:
    if not reason.strip():
        raise UsageError("--reason is empty; the log tells it to whoever asks why.")
    return reason


def _judge(name: str, version: str, reason: str, recipe: Path, alias: str | None, dry_run: bool) -> None:
    """Have a version judged by a recipe's gate, and promoted where it passes."""
    from tasks.services.local.object_store import open_store
    from tasks.services.registry.versions import resolve_reference

    loaded = load_recipe(recipe, () if alias is None else (f"promotion.alias={alias}",))
    if loaded.promotion.model != name:
        raise UsageError(f"--recipe {recipe}: it promotes {loaded.promotion.model!r}, not {name!r}.")
    _, candidate = resolve_reference(open_store(Settings()), f"{name}@{version}")
    with failure_told(as_json=False), engine():
        from flows.finetune import finetune

        outcome = finetune(loaded, str(recipe.parent), not dry_run, candidate, reason)
    end(outcome, None, None)


def _release(
    kind: Literal["approve", "rollback", "override"],
    name: str,
    reason: str,
    version: str | None,
    alias: str,
    dry_run: bool,
) -> None:
    from flows.release import check_loads, find_doubts, find_target, release
    from tasks.services.local.object_store import open_store
    from tasks.services.registry.log import read_log

    with contextlib.redirect_stdout(sys.stderr):
        # Before the engine, whose start takes seconds, which a typing error need not wait for.
        events = read_log(open_store(Settings()), name)
        before, target = events.aliases.get(alias), find_target(events, name, kind, version, alias)
        for doubt in find_doubts(events, name, target, alias) if kind != "approve" else ():
            typer.echo(f"Beware: {name}@{short(target)}: {doubt}.")
        if dry_run:
            check_loads(name, target)
        else:
            with engine():
                # What was told is what is meant, whoever promotes while the engine starts.
                event = release(name, kind, reason, target, alias, events.since(alias))
            before, target = event.from_version, event.to_version
    would, instead = "would name" if dry_run else "names", f" instead of {short(before)}" if before else ""
    typer.echo(f"{name}@{alias} {would} {short(target)}{instead}; its files were read and loaded.")
