"""Rows from CSV, JSON Lines and Parquet files, read by `datasets`.

Errors concern only the file, its columns and its encoding; defects of rows are left to the contract.
"""

import csv
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from schemas.errors import DataError, RecipeError
from schemas.recipe.data import Source
from tasks.methods.forms.form import is_list
from tasks.methods.rows import compose, plain


def read_rows(source: Source, paths: list[Path]) -> pd.DataFrame:
    """Return the rows of all files in order: file (from 1), row (from 1), text, label; missing values are None.

    Raises RecipeError for a missing column, DataError for a file that cannot be read.
    """
    parts = [_read_file(path, source).assign(file=number) for number, path in enumerate(paths, start=1)]
    return pd.concat(parts, ignore_index=True)[["file", "row", "text", "label"]]


def _read_file(path: Path, source: Source) -> pd.DataFrame:
    if path.stat().st_size == 0:
        columns = ", ".join((*source.text, source.label))
        raise DataError(f"{path}: the file is empty; expected rows with the columns {columns}.")
    if path.suffix != ".parquet":
        _check_encoding(path)
    table = _load(path)
    *texts, label = (_find_column(table.column_names, column, path) for column in (*source.text, source.label))
    return pd.DataFrame(
        {
            "row": range(1, len(table) + 1),
            "text": [_join(values) for values in zip(*(table[column][:] for column in texts), strict=True)],
            "label": [_as_text(value) for value in _class_names(table, label)],
        },
        dtype=object,
    ).astype({"row": int})


def _find_column(columns: list[str], asked: str, path: Path) -> str:
    """Return the column of a name, compared in NFC."""
    found = [column for column in columns if compose(column) == compose(asked)]
    if len(found) == 1:
        return found[0]
    problem = "is no column" if not found else f"are {len(found)} columns with the name"
    raise RecipeError(
        f"{path}: there {problem} {asked!r}; its columns are {', '.join(columns[:20])}. "
        "Name the right one in data.train or data.test of the recipe."
    )


def _class_names(table: Any, column: str) -> list[Any]:
    """Replace class numbers by names if the file defines them; a number without a name is kept."""
    feature = table.features[column]
    names = dict(enumerate(getattr(getattr(feature, "feature", feature), "names", ())))

    def name(value: Any) -> Any:
        return [names.get(item, item) for item in value] if isinstance(value, list) else names.get(value, value)

    return [name(value) for value in table[column][:]] if names else list(table[column][:])


def _check_encoding(path: Path) -> None:
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: line {number} is not UTF-8 (byte {error.start}: 0x{line[error.start]:02x}). "
                "Save the file as UTF-8 and run again."
            ) from None


def _load(path: Path) -> Any:
    """Load a datasets.Dataset, whose columns hold Python values; pandas would convert 1, null and 0 to floats."""
    import datasets
    from datasets import Dataset

    datasets.disable_progress_bars()
    features = _text_columns(path) if path.suffix == ".csv" else None
    with tempfile.TemporaryDirectory() as cache:
        common: dict[str, Any] = {"cache_dir": cache, "keep_in_memory": True}
        try:
            match path.suffix:
                case ".csv":
                    return Dataset.from_csv(
                        str(path), features=features, keep_default_na=False, encoding="utf-8-sig", **common
                    )
                case ".jsonl":
                    return Dataset.from_json(str(path), **common)
                case _:
                    return Dataset.from_parquet(str(path), **common)
        except Exception as error:
            # datasets wraps the parser's errors, which may be of any class.
            cause = error.__cause__ or error
            message = (str(cause) or type(cause).__name__).splitlines()[0]
            raise DataError(f"{path}: it cannot be read as {path.suffix[1:]}: {message}") from None


def _text_columns(path: Path) -> Any:
    """Declare every column as text, so that values such as NA, null or 007 are unchanged."""
    from datasets import Features, Value

    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        for fields in lines:
            # pandas would silently take surplus leading fields for an index and fill missing ones.
            if fields and len(fields) != len(header):
                raise DataError(
                    f"{path}: line {lines.line_num} has {len(fields)} fields, the header has {len(header)}. "
                    "Put quotes around a text that contains a comma."
                )
    if lines.line_num < 2:
        raise DataError(f"{path}: the file has a header but no rows.")
    return Features({name: Value("string") for name in header})


def _join(values: tuple[object, ...]) -> Any:
    """Join the columns of a row with blank lines, without empty or missing values; objects cannot be joined."""
    texts = [_as_text(value) for value in values]
    if len(texts) == 1:
        return texts[0]
    if any(isinstance(text, dict) or (isinstance(text, list) and not is_list(text)) for text in texts):
        return texts
    return "\n\n".join(filter(None, map(plain, texts))) or None


def _as_text(value: object) -> Any:
    """Write numbers and booleans, also in lists, as texts; the contract checks whether objects are expected."""
    if isinstance(value, list):
        return [item if isinstance(item, dict | list | None) else str(item) for item in value]
    if isinstance(value, dict):
        return value
    return None if value is None or value != value else str(value)
