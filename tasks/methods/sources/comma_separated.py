"""Rows of a CSV file: fields between commas, quoted by double quotes. Source: RFC 4180.

Quotes and carriage returns that do not fit are refused, since they would join rows or split them.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from schemas.errors import DataError
from tasks.methods.sources.header import BLANKS, MARK, check_header, count_fields
from tasks.methods.sources.lines import read_lines
from tasks.methods.sources.values import find_columns, shown

# The longest field, in characters; more does not fit a C long on every system.
MAX_FIELD = 2**31 - 1
# Lines that are searched for the header where the first one is none.
MAX_TITLES = 20
FAULTS = {
    "new-line character": "has a carriage return (CR) outside quotes. Put quotes around a text of several lines",
    "expected after": "goes on behind a closing quote. Write a quote within a quoted text twice, and no blank beside "
    "the outer ones",
    "end of data": "opens a quote that is not closed. Close it, or write a quote within a quoted text twice",
}


class _Record(NamedTuple):
    """Fields of a record, and the lines of the file that it spans; `first` counts from 1."""

    first: int
    lines: list[str]
    fields: list[str]


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[object]]]:
    """Yield the first line of each record, from 1, and its texts of the columns, whose last one is the label's.

    Blank lines are skipped. Raises DataError for quotes, line ends or numbers of fields that do not fit, a
    column that is there twice, and a first line that is no header; RecipeError for a column that is missing.
    """
    csv.field_size_limit(MAX_FIELD)
    check_header(path, list(islice(_lines(path), MAX_TITLES + 1)), columns)
    records = _read_records(path)
    header = next(records, None)
    if header is None:
        return
    if header.first > 1:
        raise DataError(f"{path}: line 1 is empty, expected the header, the columns' names. Remove the empty lines.")
    places = find_columns(path, header.fields, columns)
    labels: set[str] = set()
    doubtful: list[tuple[int, int, list[str]]] = []
    for record in records:
        _check_record(path, header, record)
        label = record.fields[places[-1]]
        if len(record.lines) == 1:
            labels.add(label)
        elif within := _labels_within(record, len(header.fields), places[-1]):
            doubtful.append((record.first, record.first + len(record.lines) - 1, within))
        yield record.first, [record.fields[place] for place in places]
    _check_joined(path, doubtful, labels)


def _read_records(path: Path) -> Iterator[_Record]:
    """Yield the records that are not blank. Raises DataError where the file is no CSV."""
    lines: list[str] = []

    def remember() -> Iterator[str]:
        for line in _lines(path):
            lines.append(line)
            yield line

    reader = csv.reader(remember(), strict=True)
    first = 1
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise DataError(_describe(path, first, reader.line_num, str(error))) from None
        if fields is None:
            return
        if any(line.strip(BLANKS) for line in lines):
            yield _Record(first, lines.copy(), fields)
        first += len(lines)
        lines.clear()


def _lines(path: Path) -> Iterator[str]:
    """Yield lines that end with LF; those of a file without any end with CR."""
    for number, line in enumerate(read_lines(path)):
        has_no_end = number == 0 and not line.endswith("\n")
        yield from io.StringIO(line, newline="\r") if has_no_end else [line]


def _describe(path: Path, first: int, last: int, error: str) -> str:
    fault = next((words for sign, words in FAULTS.items() if sign in error), f"cannot be read: {error}")
    if "end of data" in error or first == last:
        return f"{path}: line {first} {fault}."
    return f"{path}: line {last} {fault}. Its row begins in line {first}."


def _check_record(path: Path, header: _Record, record: _Record) -> None:
    if len(record.fields) != len(header.fields):
        raise DataError(
            f"{path}: line {record.first} has {count_fields(record.fields)}, the header has {len(header.fields)}; it "
            f"begins with {shown(record.fields[0])}. Put quotes around a text that contains a comma."
        )
    if [record.fields[0].removeprefix(MARK), *record.fields[1:]] == header.fields:
        raise DataError(
            f"{path}: line {record.first} is the header again, as where files were put one after another. Remove it."
        )
    end, expected = _end(record), _end(header)
    if end not in (expected, ""):
        raise DataError(
            f"{path}: line {record.first + len(record.lines) - 1} ends with {end!r}, the header with {expected!r}, so "
            "a carriage return may belong to the text. End all lines alike, or put quotes around all texts."
        )


def _end(record: _Record) -> str:
    """Return the line end of a record; none if the file ends there."""
    return record.lines[-1][len(record.lines[-1].rstrip("\r\n")) :]


def _labels_within(record: _Record, num_fields: int, label: int) -> list[str]:
    """Return the labels of the lines of a record if, without quotes, each would be a row or blank; otherwise none."""
    rows = [line.rstrip("\r\n").split(",") for line in record.lines if line.strip(BLANKS)]
    return [row[label] for row in rows] if num_fields > 1 and all(len(row) == num_fields for row in rows) else []


def _check_joined(path: Path, doubtful: list[tuple[int, int, list[str]]], labels: set[str]) -> None:
    """Raise DataError for a record whose lines are rows with labels that other rows have: stray quotes joined them.

    A text of several lines hardly ever ends each of them with a comma and a label.
    """
    for first, last, within in doubtful:
        if labels.issuperset(within):
            raise DataError(
                f"{path}: lines {first} to {last} are one row by their quotes, but each is a row "
                f"without them (labels {', '.join(map(shown, within[:3]))}). Remove the stray quotes, or store a "
                "text that does hold these lines as JSON Lines."
            )
