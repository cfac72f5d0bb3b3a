"""Rows of a Parquet file: the asked columns alone, batch by batch, as texts.

A file that `datasets` wrote may name its classes in the metadata `huggingface`.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import DataError
from tasks.methods.forms.form import is_list
from tasks.methods.sources.arrow_types import Convert, text_form
from tasks.methods.sources.values import find_columns

BATCH_ROWS = 10_000
# The class of rows without labels in data sets of the hub.
UNLABELLED = -1


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[object]]]:
    """Yield the number of each row, from 1, and its values of the columns: texts, lists, dicts and None.

    Raises DataError for a file, a type or a value that cannot be read, and for a column that is there twice;
    RecipeError for a column that is missing.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty, so it was not written to its end. Write it again, or remove it.")
    number = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            fields = [schema.field(place) for place in find_columns(path, schema.names, columns)]
            converts = [_conversion(path, schema, field) for field in fields]
            for batch in file.iter_batches(BATCH_ROWS, columns=[field.name for field in fields]):
                arrays = [batch.column(batch.schema.get_field_index(field.name)) for field in fields]
                for scalars in zip(*arrays, strict=True):
                    number += 1
                    row = zip(converts, scalars, columns, strict=True)
                    yield number, [_convert(path, number, column, convert, scalar) for convert, scalar, column in row]
    # Names of columns that are not UTF-8 are a UnicodeDecodeError.
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        message = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path}: it cannot be read as parquet: {message}") from None


def _convert(path: Path, number: int, column: str, convert: Convert, scalar: Any) -> object:
    try:
        return convert(scalar.as_py())
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: row {number}, column {column!r}: {error}.") from None


def _conversion(path: Path, schema: pa.Schema, field: pa.Field) -> Convert:
    """Return the conversion of a column's values. Raises DataError for a type without a certain form as a text."""
    names = _class_names(path, schema, field.name)
    try:
        return text_form(field.type, _naming(names) if names else str)
    except TypeError as error:
        raise DataError(
            f"{path}: the column {field.name!r} has the type {field.type}, and {error} has no certain form as a text. "
            "Store it as text, as the model shall read it."
        ) from None


def _naming(names: list[str]) -> Convert:
    def name(number: int) -> str:
        if number == UNLABELLED:
            return str(number)
        if not 0 <= number < len(names):
            raise ValueError(f"the class {number} has no name; the file names the classes 0 to {len(names) - 1}")
        return names[number]

    return name


def _class_names(path: Path, schema: pa.Schema, column: str) -> list[str]:
    """Return the names of a column's classes in the order of their numbers; none if the file does not name them."""
    try:
        stored = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except (ValueError, RecursionError):
        raise DataError(
            f"{path}: its metadata 'huggingface', which may name classes, is no JSON. Write the file again."
        ) from None
    feature = _field(_field(_field(stored, "info"), "features"), column)
    # A list is written {"feature": ..., "_type": "List"} or, by old versions, [...].
    while isinstance(feature, list) or _field(feature, "feature") is not None:
        feature = next(iter(feature), None) if isinstance(feature, list) else feature["feature"]
    names: Any = _field(feature, "names") if _field(feature, "_type") == "ClassLabel" else None
    return names if is_list(names) else []


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
