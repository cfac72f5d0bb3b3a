"""Rows of a JSON Lines file: one object a line; numbers and booleans are read as they are spelled.

Source: RFC 8259; https://jsonlines.org.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from schemas.errors import DataError
from tasks.methods.rows import compose
from tasks.methods.sources.lines import read_lines
from tasks.methods.sources.values import BOOLEANS, check_texts, first_invalid_byte, no_column, shown

# Lists and objects within each other; the steps behind the reader could not write many more.
MAX_DEPTH = 100
ADVICE = "Write one whole object on each line."
EXPECTED = f"expected an object with the columns' names. {ADVICE}"
ESCAPED_SURROGATE = re.compile(r"\\u[dD]")


class _Fields(list[tuple[str, Any]]):
    """Names and values of an object, in order; a dict would silently keep the last of two equal names."""


def _spell_constant(constant: str) -> str | None:
    """Spell a constant that JSON lacks and many programs write; NaN is a missing value."""
    return None if constant == "NaN" else constant


# Control characters within strings, such as tabs, are accepted: they have one meaning.
DECODER = json.JSONDecoder(
    object_pairs_hook=_Fields, parse_float=str, parse_int=str, parse_constant=_spell_constant, strict=False
)


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[object]]]:
    """Yield the line of each object, from 1, and its values of the columns, None where one is missing.

    Values are texts, lists, dicts and None. Raises DataError for a line that is no object or names a column twice,
    RecipeError for a column that no line has.
    """
    found: set[str] = set()
    names: list[str] | None = None
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip(" \t\r\n"):
            continue
        fields = _parse(path, number, line)
        names = [name for name, _ in fields] if names is None else names
        normal = [(compose(name), value) for name, value in fields]
        has_surrogates = bool(ESCAPED_SURROGATE.search(line)) and first_invalid_byte(line) is None
        row: list[object] = []
        for column in columns:
            values = [value for name, value in normal if name == compose(column)]
            found |= {column} if values else set()
            try:
                row.append(_only(values))
                if has_surrogates:
                    check_texts(row[-1], may_be_bytes=False)
            except ValueError as error:
                raise DataError(f"{path}: line {number}, column {column!r}: {error}.") from None
        yield number, row
    if names is not None and (missing := [column for column in columns if column not in found]):
        raise no_column(path, missing[0], names)


def _parse(path: Path, number: int, line: str) -> _Fields:
    try:
        fields = DECODER.decode(line)
    except json.JSONDecodeError as error:
        if part := _opened(line, error.pos):
            raise DataError(f"{path}: line {number} begins {part} of several lines, {EXPECTED}") from None
        raise DataError(f"{path}: line {number} is not JSON: {error.msg} (character {error.colno}). {ADVICE}") from None
    except RecursionError:
        raise DataError(f"{path}: line {number} has lists or objects nested too deeply to be read.") from None
    if not isinstance(fields, _Fields):
        raise DataError(f"{path}: line {number} holds {shown(_plain(fields))}, {EXPECTED}")
    return fields


def _opened(line: str, fault: int) -> str | None:
    """Name what an indented file begins with; `fault` is the place from which on the line is no JSON."""
    text = line.strip()
    if text == "{":
        return "an object"
    return "a list" if text.startswith("[") and fault >= len(line.rstrip()) else None


def _only(values: list[object]) -> object:
    """Return the one value there is, or None. Raises ValueError for several."""
    if len(values) > 1:
        raise ValueError(f"the object names it {len(values)} times, expected once")
    return _plain(values[0]) if values else None


def _plain(value: object, depth: int = 0) -> object:
    """Convert to texts, lists and dicts. Raises ValueError for an object that names a field twice, and deep nesting."""
    if isinstance(value, bool):
        return BOOLEANS[value]
    if not isinstance(value, list):
        return value
    if depth == MAX_DEPTH:
        raise ValueError(f"lists or objects are nested more than {MAX_DEPTH} deep")
    if not isinstance(value, _Fields):
        return [_plain(item, depth + 1) for item in value]
    twice = [name for name, count in Counter(name for name, _ in value).items() if count > 1]
    if twice:
        raise ValueError(f"an object in it names {shown(twice[0])} twice, expected once")
    return {name: _plain(item, depth + 1) for name, item in value}
