"""Output of the commands for people: tables, outcomes, verdicts."""

import sys
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from flows.commands.echo import echo
from flows.commands.inventory import ModelFound, VersionFound
from schemas.frozen import short
from schemas.records.outcome import Outcome, PlannedStep
from schemas.records.versions import Event
from schemas.visible import visible
from tasks.methods.reports.page import HEADLINES
from tasks.services.registry.gc import Marked, versions_among
from tasks.services.registry.proposals import list_standings
from tasks.services.registry.versions import refuse_unknown_model
from tasks.services.storage.store import Store

if TYPE_CHECKING:
    from flows.prefect_server.deployments import Deployed

FILE_WIDTH = 300
BEGINNING = 60


class VisibleConsole(Console):
    """A console for stored texts: their markup, emoji codes and controls are shown, not obeyed."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(soft_wrap=True, highlight=False, markup=False, emoji=False, width=width)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text, lines=True), **options)


def show_outcome(outcome: Outcome) -> None:
    """Print the steps, the scores, the verdict in words and where the report lies."""
    console = VisibleConsole()
    table = Table("step", "state", "seconds", box=None, pad_edge=False)
    for step in outcome.steps:
        table.add_row(step.name, step.state, f"{step.seconds:.1f}")
    console.print(table)
    console.print()
    if outcome.scores:
        console.print(
            "scores   " + "  ".join(f"{name} {value:.3f}" for name, value in outcome.scores.candidate.items())
        )
    if outcome.seeds:
        console.print(f"seeds    {outcome.seeds.sentence}")
    _show_verdict(outcome, console)
    if outcome.model:
        console.print(f"version  {outcome.model.name}@{short(outcome.model.version)}")
    if outcome.cost:
        console.print(f"cost     {outcome.cost.sentence}")
    console.print(f"report   {outcome.report}")
    console.print(f"time     {outcome.seconds:.0f} s")


def _show_verdict(outcome: Outcome, console: Console) -> None:
    console.print(f"verdict  {HEADLINES[outcome.outcome]}")
    if outcome.said:
        console.print(f"         {outcome.said}")
    for finding in outcome.findings:
        console.print(f"         {finding.sentence}")
    if outcome.verdict:
        for rule in outcome.verdict.rules:
            console.print(f"         {rule.decision}: {rule.name}: {rule.reason}")
        if outcome.verdict.rows_needed:
            needed, rows = outcome.verdict.rows_needed, outcome.verdict.rows
            console.print(f"         about {needed:,} test rows would decide; there are {rows:,}")
    if outcome.verdicts_on_rows:
        console.print(f"         verdicts on these test rows so far: {outcome.verdicts_on_rows}")


def show_plan(steps: list[PlannedStep]) -> None:
    """Print each step's state, and on a miss what changed."""
    table = Table("step", "state", "changed", box=None, pad_edge=False)
    for step in steps:
        table.add_row(step.name, step.state, "; ".join(step.changed))
    _print(table, "There are no steps.")


def show_models(found: list[ModelFound]) -> None:
    table = Table("model", "alias", "version", box=None, pad_edge=False)
    for model in found:
        for alias, version in model.aliases.items():
            table.add_row(model.model, alias, short(version))
        if not model.aliases:
            what = "its log is damaged" if model.damage else f"{model.num_versions} not promoted"
            table.add_row(model.model, "-", what)
    _print(table, "There are no models yet.")


def show_versions(found: list[VersionFound]) -> None:
    table = _table("version", "stored (UTC)", "on record", "aliases", last="pinned")
    for one in found:
        words = [", ".join(part) or "-" for part in (one.on_record, one.aliases)]
        why = one.pin.reason if one.pin else "-"
        table.add_row(short(one.version), f"{one.stored:%Y-%m-%d %H:%M}", *words, _cut(why))
    _print(table, "No version of it is stored.")


def show_history(events: tuple[Event, ...], is_whole: bool) -> None:
    """Print each event of a model's log: a line each, unless the whole of it is asked for."""
    table = _table("#", "at (UTC)", "kind", "alias", *["from"] * is_whole, "to", "by", last="why")
    for event in events:
        before = [short(event.from_version) if event.from_version else "-"] * is_whole
        what = (str(event.sequence), f"{event.at:%Y-%m-%d %H:%M}", event.kind, event.alias)
        why = Text(visible(event.reason)) if is_whole else _cut(event.reason)
        table.add_row(*what, *before, short(event.to_version), event.by, why)
    _print(table, "Nothing of it was promoted yet.")


def show_garbage(found: Marked, is_done: bool, command: str) -> None:
    """Print what a collection leaves and takes, by the folder it lies in; or what it would.

    `command` is the one that goes on from here.
    """
    condemned, removed = ("condemned", "removed") if is_done else ("would be condemned", "would be removed")
    words = {"kept": "kept", "young": condemned, "due": removed}
    table = Table("what", "state", "objects", "MB", box=None, pad_edge=False)
    for field, state in words.items():
        sizes: dict[str, list[int]] = {}
        for key, size_bytes in getattr(found, field).items():
            sizes.setdefault(key.partition("/")[0], []).append(size_bytes)
        for what, each in sorted(sizes.items()):
            table.add_row(what, state, f"{len(each):,}", f"{sum(each) / 1e6:,.1f}")
    _print(table, "The store is empty.")
    for keys, state in ((found.young, condemned), (found.due, removed)):
        for name, version in versions_among(keys):
            echo(f"{state}: {name}@{short(version)}")
    if not (found.young or found.due):
        echo("There is nothing to collect: something names each object, or it is too young.")
    elif not is_done:
        echo(f"Nothing was changed. `{command}` condemns it; another one, a day later, removes it.")
    elif found.young:
        echo(f"What is condemned goes with `{command}` a day from now, unless something names it again.")


def show_proposals(store: Store, name: str) -> None:
    table = Table("version", "alias", "over", "state", "what was said", box=None, pad_edge=False)
    refuse_unknown_model(store, name)
    for standing in list_standings(store, name):
        proposal = standing.proposal
        over = short(proposal.champion) if proposal.champion else "-"
        table.add_row(short(proposal.version), proposal.alias, over, standing.state, visible(standing.sentence))
    _print(table, f"Nothing of {name!r} was proposed yet.")


def show_deployed(deployed: "list[Deployed]") -> None:
    """Print the deployments, when they run by themselves, and where their pages are."""
    table = _table("deployment", "schedule", last="page")
    for one in deployed:
        table.add_row(one.name, one.schedule, one.link)
    _print(table, "")


def _table(*columns: str, last: str) -> Table:
    """A table whose last column alone gives way where the terminal is narrow."""
    return Table(*(Column(column, no_wrap=True) for column in columns), last, box=None, pad_edge=False)


def _cut(text: str) -> Text:
    """The beginning of a text, or as much of that as its line has room for."""
    return Text(visible(shorten(text, BEGINNING, placeholder=" ...")), no_wrap=True, overflow="ellipsis")


def _print(table: Table, if_empty: str) -> None:
    # A file has no width that lines would have to fit.
    console = VisibleConsole(width=None if sys.stdout.isatty() else FILE_WIDTH)
    console.print(table if table.row_count else if_empty)
