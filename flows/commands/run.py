"""Commands that take a recipe: run it, gate a model by it, compare tunings, plan; and the recipe's schema."""

import json
from typing import Annotated

import typer

from flows.commands.options import AsJson, NoPromote, Out, Overrides, RecipePath
from flows.commands.runtime import begin, end, engine, failure_told
from schemas.errors import UsageError
from schemas.recipe.loading import load_methods, load_recipe
from schemas.recipe.recipe import Recipe
from schemas.records.outcome import Outcome
from schemas.settings import Settings

running = typer.Typer()


@running.command()
def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    no_promote: NoPromote = False,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune, judge and promote a model as the recipe says."""
    loaded = load_recipe(recipe, tuple(overrides or ()))
    with failure_told(as_json):
        begin(loaded, out)
        with engine():
            from flows.finetune import finetune

            outcome: Outcome = finetune(loaded, str(recipe.parent), not no_promote)
    end(outcome, out, outcome.model_dump_json() if as_json else None)


@running.command()
def gate(
    recipe: RecipePath,
    candidate: Annotated[str, typer.Option(metavar="REF", help="NAME@ALIAS, NAME@VERSION or a model's folder.")],
    against: Annotated[
        str | None, typer.Option(metavar="REF", help="An alias or a version; the recipe's gate.against unless given.")
    ] = None,
    out: Out = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model that exists; nothing is trained or promoted. Exit codes are those of `run`."""
    loaded = load_recipe(recipe, tuple(overrides or ()))
    opponent = None if against is None else _of_model(against, loaded)
    with failure_told(as_json):
        begin(loaded, out)
        _check_reference(candidate)
        with engine():
            from flows.regate import regate

            outcome = regate(loaded, candidate, str(recipe.parent), opponent)
    verdict = outcome.verdict.model_dump_json() if outcome.verdict else json.dumps({"decision": outcome.outcome})
    end(outcome, out, verdict if as_json else None)


def _check_reference(reference: str) -> None:
    """See that there is what `name@...` names, before anything that takes seconds is started. Raises UsageError."""
    from tasks.services.local.object_store import open_store
    from tasks.services.registry.versions import resolve_reference

    if "@" in reference:
        resolve_reference(open_store(Settings()), reference)


def _of_model(reference: str, recipe: Recipe) -> str:
    """An alias or a version, with or without the name of the recipe's model before it."""
    name, _, target = reference.rpartition("@")
    if name not in ("", recipe.promotion.model):
        raise UsageError(f"--against {reference}: the recipe promotes {recipe.promotion.model!r}, not {name!r}.")
    if not target:
        raise UsageError(f"--against {reference!r} names nothing: give an alias or a version, or leave it out.")
    return target


@running.command()
def compare(
    recipe: RecipePath,
    tuning: Annotated[
        str,
        typer.Option(metavar="A,B,...", help="Kinds of tuning with their defaults, or other recipes."),
    ] = "full,lora,adapter,prefix,prompt",
    seeds: Annotated[int, typer.Option(min=1, max=50, help="Trainings of each method.")] = 3,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train by several tuning methods and put them side by side; nothing is promoted."""
    loaded = load_recipe(recipe, (*(overrides or ()), f"training.seeds={list(range(seeds))}"))
    methods = load_methods(loaded, recipe, tuning.split(","), tuple(overrides or ()))
    with failure_told(as_json), engine():
        from flows.compare import compare as compare_flow
        from tasks.methods.reports.comparison import table_of

        comparison = compare_flow(loaded, str(recipe.parent), methods)
    typer.echo(comparison.model_dump_json() if as_json else f"{table_of(comparison)}\n\n{comparison.folder}")


@running.command()
def plan(
    recipe: RecipePath, overrides: Overrides = None, no_promote: NoPromote = False, as_json: AsJson = False
) -> None:
    """Tell which steps would run, and what changed since they last did."""
    loaded = load_recipe(recipe, tuple(overrides or ()))
    from flows.commands.display import show_plan
    from flows.finetune import foresee

    steps = foresee(loaded, recipe.parent, not no_promote)
    if as_json:
        typer.echo(json.dumps({"steps": [step.model_dump(mode="json") for step in steps]}))
    else:
        show_plan(steps)


@running.command()
def schema() -> None:
    """Print the recipe's JSON Schema, for editors."""
    typer.echo(json.dumps(Recipe.model_json_schema(), indent=2))
