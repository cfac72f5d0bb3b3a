"""Arguments and options shared by commands."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import UsageError
from schemas.strict_yaml import cut


def refuse_repeated(overrides: list[str] | None) -> list[str] | None:
    """Raise UsageError for a field that is set twice, since the weaker of two gates could be the last."""
    fields = Counter(override.partition("=")[0] for override in overrides or ())
    if twice := [field for field, count in fields.items() if count > 1]:
        raise UsageError(f"--set {cut(twice[0])}=... is there {fields[twice[0]]} times; keep one of them.")
    return overrides


RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as recipes/tweets/full.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")]
NoPromote = Annotated[bool, typer.Option("--no-promote", help="Gate the candidate without promoting it.")]
Out = Annotated[Path | None, typer.Option(help="Write gate.json, gate.md and junit.xml into this folder.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=C",
        help="Override a field of the recipe; may be repeated, once for each field.",
        callback=refuse_repeated,
    ),
]
Name = Annotated[str, typer.Argument(help="A model.")]
Reference = Annotated[str, typer.Argument(metavar="REF", help="NAME@ALIAS or NAME@VERSION.")]
ReferenceOrName = Annotated[str, typer.Argument(metavar="REF", help="NAME@ALIAS, NAME@VERSION, or NAME for all of it.")]
