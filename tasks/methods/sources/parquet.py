"""Rows of a Parquet file: the asked columns alone, batch by batch, as texts.

A file that `datasets` wrote may name its classes in the metadata `huggingface`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import DataError
from tasks.methods.sources.arrow_types import Convert, text_form
from tasks.methods.sources.values import find_columns

BATCH_ROWS = 10_000


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
    except (pa.ArrowException, OSError) as error:
        message = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path}: it cannot be read as parquet: {message}") from None


def _convert(path: Path, number: int, column: str, convert: Convert, scalar: Any) -> object:
    try:
        return convert(scalar.as_py())
    except ValueError as error:
        raise DataError(f"{path}: row {number}, column {column!r}: {error}.") from None


def _conversion(path: Path, schema: pa.Schema, field: pa.Field) -> Convert:
    """Return the conversion of a column's values. Raises DataError for a type without a certain form as a text."""
    try:
        convert = text_form(field.type)
    except TypeError as error:
        raise DataError(
            f"{path}: the column {field.name!r} has the type {field.type}, and {error} has no certain form as a text. "
            "Store it as text, as the model shall read it."
        ) from None
    names = _class_names(schema.metadata or {}, field.name)

    def name(value: object) -> object:
        return [name(item) for item in value] if isinstance(value, list) else names.get(value, value)

    return (lambda value: name(convert(value))) if names else convert


def _class_names(metadata: Mapping[bytes, bytes], column: str) -> dict[object, str]:
    """Map the numbers of a column's classes, as texts, to their names; empty if the file does not name them."""
    stored = json.loads(metadata.get(b"huggingface", b"{}"))
    feature = stored.get("info", {}).get("features", {}).get(column)
    # A list is written {"feature": ..., "_type": "List"} or, by old versions, [...].
    while isinstance(feature, list) or "feature" in (feature or {}):
        feature = feature[0] if isinstance(feature, list) else feature["feature"]
    return {str(number): name for number, name in enumerate((feature or {}).get("names", ()))}
