"""Rows from CSV, JSON Lines and Parquet files: values as they stand in the file, read from the asked columns alone.

Errors concern only the file, its columns and its encoding; defects of rows are left to the contract.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from schemas.errors import DataError
from schemas.recipe.data import Source
from tasks.methods.forms.form import is_list
from tasks.methods.rows import plain
from tasks.methods.sources import comma_separated, json_lines, parquet
from tasks.methods.sources.values import check_texts


class Format(NamedTuple):
    """A format of files.

    read: (path, columns) -> each row's place, from 1, and its values; blank lines are counted and give no row
    place: what the place counts
    """

    read: Callable[[Path, Sequence[str]], Iterator[tuple[int, list[object]]]]
    place: str


FORMATS = {
    ".csv": Format(comma_separated.read_rows, "line"),
    ".jsonl": Format(json_lines.read_rows, "line"),
    ".parquet": Format(parquet.read_rows, "row"),
}


def read_rows(source: Source, paths: list[Path]) -> pd.DataFrame:
    """Return the rows of all files in order: file (from 1), row (from 1), text, label; missing values are None.

    A file without rows adds none. Raises RecipeError for a missing column, DataError for a file that cannot be read,
    and if no file has rows.
    """
    table: dict[str, list[object]] = {"file": [], "row": [], "text": [], "label": []}
    for number, path in enumerate(paths, start=1):
        for row, (texts, label) in enumerate(_read_file(path, source), start=1):
            for name, value in zip(table, (number, row, _join(texts), label), strict=True):
                table[name].append(value)
    if not table["row"]:
        raise DataError(f"{', '.join(map(str, paths[:5]))}: no rows; {_expected(source)}.")
    return pd.DataFrame(table, dtype=object).astype({"file": int, "row": int})


def _read_file(path: Path, source: Source) -> Iterator[tuple[list[object], object]]:
    """Yield texts and label of each row."""
    columns = (*source.text, source.label)
    kind = FORMATS[path.suffix]
    try:
        for place, found in kind.read(path, columns):
            *texts, label = (
                _checked(path, f"{kind.place} {place}", column, value)
                for column, value in zip(columns, found, strict=True)
            )
            yield texts, label
    except OSError as error:
        raise DataError(f"{path}: it cannot be read: {error.strerror}.") from None


def _checked(path: Path, place: str, column: str, found: object) -> object:
    where = f"{path}: {place}, column {column!r}"
    try:
        check_texts(found)
    except ValueError as error:
        raise DataError(f"{where}: {error}.") from None
    return found


def _expected(source: Source) -> str:
    return f"expected rows with the columns {', '.join((*source.text, source.label))}"


def _join(texts: list[Any]) -> Any:
    """Join the columns of a row with blank lines, without empty or missing values; objects cannot be joined."""
    if len(texts) == 1:
        return texts[0]
    if any(isinstance(text, dict) or (isinstance(text, list) and not is_list(text)) for text in texts):
        return texts
    return "\n\n".join(filter(None, map(plain, texts))) or None
