"""Predictions of a model for texts, outside any flow run."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from flows.commands.echo import echo
from flows.commands.options import AsJson
from flows.commands.runtime import resolve, translated_disk_failures
from schemas.errors import Corrupt, RecipeError, TunegateError, UsageError
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
    given = list(texts or []) + (read_lines(file) if file else [])
    if not given:
        raise UsageError("There is nothing to label. Give texts, or --file with one text a line.")
    predictions = predict_texts(reference, given)
    if out is not None:
        lines = [json.dumps({"text": text} | content) for text, (content, _) in zip(given, predictions, strict=True)]
        with translated_disk_failures(out.parent):
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


def read_lines(file: Path) -> list[str]:
    """Read the texts of a file, one per line, without a byte order mark. Raises UsageError, also without a line."""
    try:
        # Decoded here, since text mode takes a lone carriage return for the end of a line.
        content = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--file {file}: it cannot be read as UTF-8 text: {error}") from None
    if not content:
        raise UsageError(f"--file {file}: it is empty, so there is nothing to label. Write one text a line.")
    # Blank lines too, so that predictions have the line numbers of their texts.
    return [line.removesuffix("\r") for line in content.removesuffix("\n").split("\n")]


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
    """Predict with a pulled folder as with its version, or with a folder of other origin."""
    from tasks.services.registry.pull import read_pulled

    pulled = read_pulled(folder)
    if pulled is None:
        return _predict_by_config(folder, texts)
    manifest, files = pulled
    with TemporaryDirectory(prefix="tunegate-") as name:
        # The version's files only: others beside them could change how they are loaded.
        for file, path in files.items():
            (Path(name) / file).symlink_to(path)
        return _predict(Path(name), texts, manifest.problem)


def _predict_by_config(folder: Path, texts: list[str]) -> list[tuple[dict[str, Any], str]]:
    """Predict with a folder without digests, after the trial of a base. Raises UsageError, Corrupt."""
    from tasks.methods.models.isolated import cause
    from tasks.methods.models.recognition import read_config, recognise_problem
    from tasks.methods.models.trial import try_base
    from tasks.pinning import positions_of
    from tasks.services.inputs.pretrained import loaded_files

    path = folder / "config.json"
    if not path.is_file():
        raise UsageError(
            f"{folder}: expected NAME@ALIAS (such as {folder.name}@champion), NAME@VERSION or a model's folder; "
            f"there is no {path}."
        )
    config = read_config(path)
    problem = recognise_problem(config, path)
    try:
        try_base(folder, loaded_files(folder), problem)
        return _predict(folder, texts, shorten_to(problem, positions_of(config)))
    except RecipeError as error:
        # The words are those on a base.
        fault = str(error).removeprefix("model.base: ")
        if fault.startswith("model.base "):
            fault = fault.replace("model.base", "it", 1)
        raise Corrupt(f"{folder}: this model cannot be used: {fault}") from None
    except TunegateError:
        raise
    except Exception as error:
        # Files of any origin fail in any way.
        raise Corrupt(f"{folder}: this model cannot be used: {cause(error)}. Pull or copy it again.") from None


def shorten_to(problem: Problem, positions: int | None) -> Problem:
    """Return a problem whose texts fit a model's positions; None: without a limit."""
    if positions is None or problem.max_tokens <= positions:
        return problem
    values = problem.model_dump()
    parts = {name: min(values[name], positions // 4) for name in ("overlap_tokens", "answer_tokens") if name in values}
    return type(problem).model_validate(values | parts | {"max_tokens": positions})


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
