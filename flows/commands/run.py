"""Commands for recipes: run, gate, compare, plan, schema."""

import json
from typing import Annotated

import typer

from flows.commands.echo import echo
from flows.commands.options import AsJson, NoPromote, Out, Overrides, RecipePath
from flows.commands.runtime import begin, end, failures_as_json, flow_runtime, log_to_stderr, make_homes, resolve
from schemas.errors import UsageError
from schemas.recipe.loading import load_methods, load_recipe
from schemas.recipe.recipe import Recipe
from schemas.records.outcome import Outcome

running = typer.Typer()


@running.command()
def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    no_promote: NoPromote = False,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune, gate and promote a model by a recipe."""
    loaded = load_recipe(recipe, tuple(overrides or ()))
    with failures_as_json(as_json):
        begin(loaded, out)
        with flow_runtime():
            from flows.finetune import finetune

            outcome: Outcome = finetune(loaded, str(recipe.parent), not no_promote)
    end(outcome, out, outcome.model_dump_json() if as_json else None)


@running.command()
def gate(
    recipe: RecipePath,
    candidate: Annotated[str, typer.Option(metavar="REF", help="NAME@ALIAS, NAME@VERSION or a model's folder.")],
    against: Annotated[
        str | None, typer.Option(metavar="REF", help="An alias or a version; by default the recipe's gate.against.")
    ] = None,
    out: Out = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Gate an existing model; nothing is trained or promoted. Exit codes are those of `run`."""
    loaded = load_recipe(recipe, tuple(overrides or ()))
    reference = None if against is None else _of_model(against, loaded)
    with failures_as_json(as_json):
        begin(loaded, out)
        if "@" in candidate:
            # Before the slow start of the runtime.
            resolve(candidate)
        with flow_runtime():
            from flows.regate import regate

            outcome = regate(loaded, candidate, str(recipe.parent), reference)
    verdict = outcome.verdict.model_dump_json() if outcome.verdict else json.dumps({"decision": outcome.outcome})
    end(outcome, out, verdict if as_json else None)


def _of_model(reference: str, recipe: Recipe) -> str:
    """Strip the name of the recipe's model from an alias or a version. Raises UsageError."""
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
    """Train with several tuning methods and compare their scores; nothing is promoted."""
    loaded = load_recipe(recipe, (*(overrides or ()), f"training.seeds={list(range(seeds))}"))
    methods = load_methods(loaded, recipe, tuning.split(","), tuple(overrides or ()))
    with failures_as_json(as_json), flow_runtime():
        from flows.compare import compare as compare_flow
        from tasks.methods.reports.comparison import table_of

        comparison = compare_flow(loaded, str(recipe.parent), methods)
    echo(comparison.model_dump_json() if as_json else f"{table_of(comparison)}\n\n{comparison.folder}")


@running.command()
def plan(
    recipe: RecipePath, overrides: Overrides = None, no_promote: NoPromote = False, as_json: AsJson = False
) -> None:
    """Show which steps would run, and what has changed since their last run."""
    loaded = load_recipe(recipe, tuple(overrides or ()))
    echo("reading the files that the recipe names ...", err=True)
    make_homes()
    log_to_stderr()
    from flows.commands.display import show_plan
    from flows.finetune import preview

    steps = preview(loaded, recipe.parent, not no_promote)
    if as_json:
        echo(json.dumps({"steps": [step.model_dump(mode="json") for step in steps]}))
    else:
        show_plan(steps)


@running.command()
def schema() -> None:
    """Print the recipe's JSON Schema, for editors."""
    echo(json.dumps(Recipe.model_json_schema(), indent=2))
