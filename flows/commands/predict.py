"""Predictions of a model for texts, outside any flow run."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.echo import echo
from flows.commands.options import AsJson
from flows.commands.runtime import resolve
from schemas.errors import Corrupt, UsageError
from schemas.recipe.problem import Problem
from schemas.records.references import ModelRef

predicting = typer.Typer()


@predicting.command()
def predict(
    reference: Annotated[str, typer.Argument(metavar="REF", help="NAME@ALIAS, NAME@VERSION or a folder.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts to label.")] = None,
    file: Annotated[Path | None, typer.Option(help="UTF-8, one text a line.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write JSON Lines here instead of standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """Label texts with a model of the registry or of a folder."""
    check_out(out)
    given = list(texts or []) + read_lines(file)
    if not given:
        raise UsageError("There is nothing to label. Give texts, or --file with one text a line.")
    predictions = predict_texts(reference, given)
    if out is not None:
        lines = [json.dumps({"text": text} | content) for text, (content, _) in zip(given, predictions, strict=True)]
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if as_json:
        echo(json.dumps({"predictions": [content for content, _ in predictions]}))
    elif out is None:
        for text, (_, words) in zip(given, predictions, strict=True):
            echo(f"{words}  {text}")


def check_out(out: Path | None) -> None:
    """Check that the output file can be created, before predicting. Raises UsageError."""
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}. Make it first.")
    if out is not None and out.is_dir():
        raise UsageError(f"--out {out}: it is a folder. Name a file.")


def read_lines(file: Path | None) -> list[str]:
    """Read the texts of a file, one per line. Raises UsageError."""
    if file is None:
        return []
    try:
        # Blank lines too, so that predictions have the line numbers of their texts.
        return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--file {file}: it cannot be read as UTF-8 text: {error}") from None


def predict_texts(reference: str, texts: list[str]) -> list[tuple[dict[str, Any], str]]:
    """Predict texts with `name@alias`, `name@version` or a folder; each prediction for programs, and in words.

    Raises UsageError, StoreError.
    """
    if "@" not in reference:
        return _predict_by_folder(Path(reference), texts)
    from tasks.services.registry.versions import read_manifest, unpacked

    store, name, version = resolve(reference)
    manifest = read_manifest(store, name, version)
    with unpacked(store, ModelRef.of(manifest.files)) as folder:
        return _predict(folder, texts, manifest.problem)


def _predict_by_folder(folder: Path, texts: list[str]) -> list[tuple[dict[str, Any], str]]:
    """Predict with a folder, which unlike a version has no digests. Raises Corrupt if it cannot be loaded."""
    from safetensors import SafetensorError

    from tasks.methods.models.isolated import cause

    problem = _problem_of(folder)
    try:
        return _predict(folder, texts, problem)
    except (SafetensorError, OSError) as error:
        raise Corrupt(f"{folder}: this model cannot be loaded: {cause(error)}. Pull or copy it again.") from None


def _predict(folder: Path, texts: list[str], problem: Problem) -> list[tuple[dict[str, Any], str]]:
    import pandas as pd

    from tasks.evaluation import answer
    from tasks.methods.problems.table import PROBLEMS

    methods = PROBLEMS[problem.kind]
    # Like the texts of training and evaluation.
    normal = [methods.normalise(text) for text in texts]
    rows = pd.DataFrame({"id": [str(number) for number in range(len(texts))], "text": normal})
    contents = methods.present(answer(folder, rows, problem), rows, problem)
    return [(content, methods.describe(content)) for content in contents]


def _problem_of(folder: Path) -> Problem:
    """Recognise the problem of a folder from its configuration. Raises UsageError, Corrupt."""
    from tasks.methods.problems.table import PROBLEMS

    config = folder / "config.json"
    if not config.is_file():
        raise UsageError(
            f"{folder}: expected NAME@ALIAS (such as {folder.name}@champion), NAME@VERSION or a model's folder; "
            f"there is no {config}."
        )
    values = _read(config)
    names = tuple(name for _, name in sorted(values.get("id2label", {}).items(), key=lambda item: int(item[0])))
    architecture = next(iter(values.get("architectures") or []), "")
    recognised = (methods.recognise(architecture, names, values) for methods in PROBLEMS.values())
    problem: Problem | None = next(filter(None, recognised), None)
    if problem is None:
        raise UsageError(f"{config}: it names no labels (id2label), so the model's problem is unknown.")
    return problem


def _read(config: Path) -> dict[str, Any]:
    """Read a JSON object. Raises Corrupt."""
    with suppress(ValueError):
        values = json.loads(config.read_text(encoding="utf-8"))
        if isinstance(values, dict):
            return values
    raise Corrupt(f"{config}: it is no JSON object, so it was altered or cut off. Pull or copy the model again.")
