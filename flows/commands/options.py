"""Arguments and options shared by commands."""

from pathlib import Path
from typing import Annotated

import typer

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as recipes/tweets/full.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")]
NoPromote = Annotated[bool, typer.Option("--no-promote", help="Gate the candidate without promoting it.")]
Out = Annotated[Path | None, typer.Option(help="Write gate.json, gate.md and junit.xml into this folder.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a field of the recipe; may be repeated.")
]
Name = Annotated[str, typer.Argument(help="A model.")]
Reference = Annotated[str, typer.Argument(metavar="REF", help="NAME@ALIAS or NAME@VERSION.")]
ReferenceOrName = Annotated[str, typer.Argument(metavar="REF", help="NAME@ALIAS, NAME@VERSION, or NAME for all of it.")]
