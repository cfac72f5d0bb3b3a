"""What commands show a person on standard output."""

import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.errors import Corrupt, UsageError
from schemas.outcome import Outcome, PlannedStep
from tasks.methods.reports.page import HEADLINES
from tasks.services.collection import Collection
from tasks.services.events import read_log
from tasks.services.proposals import list_standings
from tasks.services.registry import list_models, list_versions
from tasks.services.store import Store

SHORT = 12
FILE_WIDTH = 300


def show_outcome(outcome: Outcome) -> None:
    """Print the steps, the scores, the verdict in words and where the report lies."""
    console = Console(soft_wrap=True, highlight=False)
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
        console.print(f"seeds    {outcome.seeds.sentence}", markup=False)
    _show_verdict(outcome, console)
    if outcome.model:
        console.print(f"version  {outcome.model.name}@{outcome.model.version[:SHORT]}", markup=False)
    if outcome.cost:
        console.print(f"cost     {outcome.cost.sentence}", markup=False)
    console.print(f"report   {outcome.report}", markup=False)
    console.print(f"time     {outcome.seconds:.0f} s", markup=False)


def _show_verdict(outcome: Outcome, console: Console) -> None:
    """Print how it ended, and every sentence that says why."""
    console.print(f"verdict  {HEADLINES[outcome.outcome]}", markup=False)
    if outcome.said:
        console.print(f"         {outcome.said}", markup=False)
    for finding in outcome.findings:
        console.print(f"         {finding.sentence}", markup=False)
    if outcome.verdict:
        for rule in outcome.verdict.rules:
            console.print(f"         {rule.decision}: {rule.name}: {rule.reason}", markup=False)
        if outcome.verdict.rows_needed:
            needed, rows = outcome.verdict.rows_needed, outcome.verdict.rows
            console.print(f"         about {needed:,} test rows would decide; there are {rows:,}", markup=False)
    if outcome.verdicts_on_rows:
        console.print(f"         this is verdict {outcome.verdicts_on_rows} on these test rows", markup=False)


def describe_prediction(prediction: dict[str, Any]) -> str:
    """An answer in words: the labels with their probabilities, the entities with their types, or the text itself."""
    if "answer" in prediction:
        return str(prediction["answer"])
    if "entities" in prediction:
        return "; ".join(f"{entity['type']}: {entity['text']}" for entity in prediction["entities"]) or "no entity"
    labels = prediction["labels"] if "labels" in prediction else [prediction["label"]]
    return "  ".join(f"{label}  {prediction['probabilities'][label]:.3f}" for label in labels) or "no label"


def show_plan(steps: list[PlannedStep]) -> None:
    """Print each step's state, and on a miss what changed."""
    table = Table("step", "state", "changed", box=None, pad_edge=False)
    for step in steps:
        table.add_row(step.name, step.state, "; ".join(step.changed))
    _print(table, "There are no steps.")


def show_models(store: Store) -> None:
    """Print each model with its aliases. Raises Corrupt, once all are shown, where a log is damaged."""
    table = Table("model", "alias", "version", box=None, pad_edge=False)
    damaged: list[str] = []
    for name in list_models(store):
        try:
            aliases = read_log(store, name).aliases
        except Corrupt as error:
            table.add_row(name, "-", "its log is damaged")
            damaged.append(str(error))
            continue
        for alias, version in aliases.items():
            table.add_row(name, alias, version[:SHORT])
        if not aliases:
            table.add_row(name, "-", f"{len(list_versions(store, name))} not promoted")
    _print(table, "There are no models yet.")
    if damaged:
        raise Corrupt(" ".join(damaged))


def show_versions(store: Store, name: str) -> None:
    """Print each version of a model and the aliases that name it."""
    aliases = read_log(store, name).aliases
    table = Table("version", "aliases", box=None, pad_edge=False)
    for version in list_versions(store, name):
        names = ", ".join(alias for alias, named in aliases.items() if named == version)
        table.add_row(version, names or "-")
    _print_or_refuse(table, name, store)


def show_history(store: Store, name: str) -> None:
    """Print each event of a model's log."""
    table = Table("#", "at (UTC)", "kind", "alias", "from", "to", "by", "why", box=None, pad_edge=False)
    for event in read_log(store, name).events:
        before = event.from_version[:SHORT] if event.from_version else "-"
        at = f"{event.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(
            str(event.sequence), at, event.kind, event.alias, before, event.to_version[:SHORT], event.by, event.reason
        )
    _print_or_refuse(table, name, store)


def show_collection(found: Collection, is_done: bool) -> None:
    """Print what a collection leaves and takes, by the folder it lies in; or what it would."""
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
    if found.young:
        print(
            "What is condemned goes with `tunegate gc --apply` a day from now, unless something names it again."
            if is_done
            else "Nothing was changed. `tunegate gc --apply` condemns it; another one, a day later, removes it."
        )


def show_proposals(store: Store, name: str) -> None:
    """Print each proposal of a model with its state and what was said."""
    table = Table("version", "alias", "over", "state", "what was said", box=None, pad_edge=False)
    for standing in list_standings(store, name):
        proposal = standing.proposal
        over = proposal.champion[:SHORT] if proposal.champion else "-"
        table.add_row(proposal.version[:SHORT], proposal.alias, over, standing.state, escape(standing.sentence))
    _print_or_refuse(table, name, store, f"Nothing of {name!r} was proposed yet.")


def refuse_unknown_model(store: Store, name: str) -> None:
    """Raises UsageError naming the models that there are."""
    models = list_models(store)
    if name not in models:
        raise UsageError(f"There is no model {name!r}; the models are: {', '.join(models) or 'none'}.")


def _print_or_refuse(table: Table, name: str, store: Store, if_empty: str = "") -> None:
    refuse_unknown_model(store, name)
    _print(table, if_empty or f"Nothing of {name!r} was promoted yet.")


def _print(table: Table, if_empty: str) -> None:
    # A file has no width that lines would have to fit.
    console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else FILE_WIDTH)
    console.print(table if table.row_count else if_empty)
