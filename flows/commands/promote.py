"""Commands for aliases: promote, roll back, and review proposals."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.commands.echo import echo
from flows.commands.options import Name
from flows.commands.runtime import end, failures_as_json, flow_runtime, resolve
from schemas.errors import UsageError
from schemas.frozen import short
from schemas.recipe.loading import load_recipe
from schemas.settings import read_settings

releasing = typer.Typer()
Version = Annotated[str, typer.Argument(help="A version, or at least 8 digits of one.")]
Alias = Annotated[str, typer.Option(help="The alias, as services use it.")]
Reason = Annotated[str, typer.Option(help="The reason, for the log.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and report without changing anything.")]


@releasing.command()
def rollback(
    name: Name,
    reason: Reason,
    to: Annotated[str | None, typer.Option(help="A version; by default the previous one.")] = None,
    alias: Alias = "champion",
    dry_run: DryRun = False,
) -> None:
    """Point an alias back at an earlier version, after verifying and loading it."""
    _release("rollback", name, _given(reason), to, alias, dry_run)


@releasing.command()
def promote(
    name: Name,
    version: Version,
    reason: Reason = "",
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="RECIPE", help="The recipe whose gate the version has to pass."),
    ] = None,
    override: Annotated[bool, typer.Option("--override", help="Skip the gate; the log says so.")] = False,
    alias: Annotated[str | None, typer.Option(help="The alias; by default the recipe's.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Point an alias at a version that passes a recipe's gate, or override the gate. Exit codes are those of `run`."""
    if (recipe is None) != override:
        raise UsageError(
            "promote needs a gate or an explicit override: give --recipe RECIPE, which gates the version against "
            "the champion, or --override, but not both. `tunegate run RECIPE` trains, gates and promotes."
        )
    if recipe is None:
        _release("override", name, _given(reason), version, "champion" if alias is None else alias, dry_run)
    else:
        _gate(name, version, reason.strip(), recipe, alias, dry_run)


@releasing.command()
def proposals(name: Name) -> None:
    """List the proposals of a model, with their states and reviews."""
    from flows.commands.display import show_proposals
    from tasks.services.local.object_store import current_store

    show_proposals(current_store(), name)


@releasing.command()
def approve(
    name: Name, version: Version, reason: Reason = "", alias: Alias = "champion", dry_run: DryRun = False
) -> None:
    """Promote a proposed version, if it passed its gate and the alias has not moved since."""
    _release("approve", name, reason.strip(), version, alias, dry_run)


@releasing.command()
def reject(name: Name, version: Version, reason: Reason, alias: Alias = "champion") -> None:
    """Reject a proposed version for good."""
    from tasks.approval import reject as veto
    from tasks.services.local.object_store import current_store
    from tasks.services.registry.doctor import check_store
    from tasks.services.registry.log import checked_name

    reason = _given(reason)
    checked_name(alias, "an alias")
    store = current_store()
    check_store(store, read_settings().home)
    veto(store, name, version, alias, reason)
    echo(f"{name}@{short(version)} was rejected for {alias}; the alias is unchanged.")


def _given(reason: str) -> str:
    if not reason.strip():
        raise UsageError("--reason is empty; give the reason for the log.")
    return reason


def _gate(name: str, version: str, reason: str, recipe: Path, alias: str | None, dry_run: bool) -> None:
    """Gate a version by a recipe, and promote it if it passes."""
    loaded = load_recipe(recipe, () if alias is None else (f"promotion.alias={alias}",))
    if loaded.promotion.model != name:
        raise UsageError(f"--recipe {recipe}: it promotes {loaded.promotion.model!r}, not {name!r}.")
    _, _, candidate = resolve(f"{name}@{version}")
    with failures_as_json(as_json=False), flow_runtime():
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
    from flows.release import check, find_doubts, find_target, release
    from tasks.services.local.object_store import current_store
    from tasks.services.registry.log import read_log

    with contextlib.redirect_stdout(sys.stderr):
        # Before the runtime, so that a typing error does not wait for its start.
        events = read_log(current_store(), name)
        before, target = events.aliases.get(alias), find_target(events, name, kind, version, alias)
        for doubt in find_doubts(events, name, target, alias) if kind != "approve" else ():
            echo(f"Beware: {name}@{short(target)}: {doubt}.")
        change = f"{short(before) if before else 'no version'} -> {short(target)}"
        again = ", and computing its verdict again" if kind == "approve" and not dry_run else ""
        echo(f"{name}@{alias}: {change}; verifying and loading its files{again} ...")
        if dry_run:
            check(kind, name, target, alias)
        else:
            with flow_runtime():
                # Refuse if the alias has moved since the doubts were shown.
                event = release(name, kind, reason, target, alias, events.since(alias))
            before, target = event.from_version, event.to_version
    would, instead = "would name" if dry_run else "names", f" instead of {short(before)}" if before else ""
    echo(f"{name}@{alias} {would} {short(target)}{instead}; its files were verified and loaded.")
