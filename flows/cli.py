"""The command line.

Logs and progress go to standard error; with --json the last line of standard output is one JSON object.
"""

import gc
import json
import os
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from flows.engine import begin, end, engine, failure_told
from flows.operations import operations
from flows.registry import registry
from flows.releasing import releasing
from flows.retention import retention
from flows.upkeep import upkeep
from schemas.errors import Preempted, TunegateError, UsageError
from schemas.outcome import Outcome
from schemas.recipe import Recipe, load_methods, load_recipe
from schemas.settings import Settings, library_environment, proxy_exceptions, read_settings
from tasks.services.stack import running_api

INTERRUPTED = 130
OWN_FAULT = 70
# Libraries make a million objects that live as long as a command; Python would look through them again and again.
OBJECTS_TO_COLLECT = 10_000


class Commands(TyperGroup):
    """Turn what a user can cause into one message and an exit code, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (TunegateError, Preempted) as error:
            typer.echo(f"{type(error).__name__}: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("Interrupted. Run the same command again: finished steps are not repeated.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, TyperException):
            raise
        except Exception:
            # Python's own exit code for it is 1, which here means that the gate refused.
            traceback.print_exc()
            raise typer.Exit(OWN_FAULT) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(registry)
app.add_typer(retention)
app.add_typer(releasing)
app.add_typer(upkeep)
app.add_typer(operations)


@app.callback(help="Retraining you can defend.")
def prepare() -> None:
    """Set what libraries read when they are imported; what the user has set wins, and is added to for proxies."""
    gc.set_threshold(OBJECTS_TO_COLLECT)
    settings = read_settings()
    for name, value in library_environment(settings).items():
        os.environ.setdefault(name, value)
    os.environ.update(proxy_exceptions())
    if password := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        # Who starts the server asks it too.
        os.environ.setdefault("PREFECT_API_AUTH_STRING", password)
    if not os.environ.get("PREFECT_API_URL") and (api := running_api(settings)):
        os.environ["PREFECT_API_URL"] = api


RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as recipes/tweets/full.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")]
NoPromote = Annotated[bool, typer.Option("--no-promote", help="Judge the candidate, leave the alias.")]
Out = Annotated[Path | None, typer.Option(help="Write gate.json, gate.md and junit.xml into this folder.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a field of the recipe; may be repeated.")
]


@app.command()
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


@app.command()
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
    from tasks.services.embedded import open_store
    from tasks.services.registry import resolve_reference

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


@app.command()
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
        from flows.comparison import compare as compare_flow
        from tasks.methods.reports.comparison import table_of

        comparison = compare_flow(loaded, str(recipe.parent), methods)
    typer.echo(comparison.model_dump_json() if as_json else f"{table_of(comparison)}\n\n{comparison.folder}")


@app.command()
def plan(
    recipe: RecipePath, overrides: Overrides = None, no_promote: NoPromote = False, as_json: AsJson = False
) -> None:
    """Tell which steps would run, and what changed since they last did."""
    loaded = load_recipe(recipe, tuple(overrides or ()))
    from flows.display import show_plan
    from flows.finetune import foresee

    steps = foresee(loaded, recipe.parent, not no_promote)
    if as_json:
        typer.echo(json.dumps({"steps": [step.model_dump(mode="json") for step in steps]}))
    else:
        show_plan(steps)


@app.command()
def predict(
    reference: Annotated[str, typer.Argument(metavar="REF", help="NAME@ALIAS, NAME@VERSION or a folder.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts to label.")] = None,
    file: Annotated[Path | None, typer.Option(help="UTF-8, one text a line.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write JSON Lines here instead of standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """Label texts with a model of the registry or of a folder."""
    from flows.predict import check_out, predict_texts, read_lines

    check_out(out)
    given = list(texts or []) + read_lines(file)
    if not given:
        raise UsageError("There is nothing to label. Give texts, or --file with one text a line.")
    predictions = predict_texts(reference, given, Settings())
    if out is not None:
        lines = [json.dumps({"text": text} | found) for text, found in zip(given, predictions, strict=True)]
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({"predictions": predictions}))
    elif out is None:
        from flows.display import describe_prediction

        for text, found in zip(given, predictions, strict=True):
            typer.echo(f"{describe_prediction(found)}  {text}")


@app.command()
def schema() -> None:
    """Print the recipe's JSON Schema, for editors."""
    typer.echo(json.dumps(Recipe.model_json_schema(), indent=2))
