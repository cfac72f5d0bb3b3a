"""First line of a CSV file, which should be the header, and what it is where it lacks a column.

Lines are looked at one by one, since quotes of a file with another separator do not fit.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import DataError
from tasks.methods.sources.values import first_invalid_byte, missing_columns, shown

MARK = "\ufeff"
BLANKS = " \t\r\n"
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# Excel reads this line, and no other program does.
NOTE = re.compile('"?sep=(.)"?', re.IGNORECASE)


def check_header(path: Path, lines: Sequence[str], columns: Sequence[str]) -> None:
    """Raise DataError if the first of some lines is no header; a header that lacks a column is left to others.

    Left to others are also a blank line and a quote that is not closed, as in a name of several lines.
    """
    first = lines[0].rstrip("\r\n") if lines else ""
    if not first.strip(BLANKS) or first.count('"') % 2 or not missing_columns(_split(first), columns):
        return
    _check_note(path, first)
    _check_writing(path, first, columns)
    found = f"{path}: line 1 is no header (it holds {shown(first.rstrip(BLANKS))}), "
    if first.startswith(MARK):
        raise DataError(f"{found}it begins with two byte order marks. Remove them.")
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip(BLANKS)]
    header = next((number for number, line in numbered if _is_header(line, columns)), 1)
    if header > 1:
        raise DataError(f"{found}line {header} is. Remove the lines before it.")
    _check_separator(path, first, columns)
    for number, line in numbered[1:2]:
        if len(_split(line)) > len(_split(first)):
            raise DataError(
                f"{found}it has {count_fields(_split(first))}, line {number} has {len(_split(line))}. "
                f"Expected the columns' names between commas, among them {', '.join(columns)}."
            )


def count_fields(fields: Sequence[str]) -> str:
    return f"{len(fields)} field{'' if len(fields) == 1 else 's'}"


def _split(line: str, separator: str = ",") -> list[str]:
    # The reader raises an error for a carriage return outside quotes.
    return next(csv.reader([line.rstrip("\r\n").replace("\r", " ")], delimiter=separator), [])


def _is_header(line: str, columns: Sequence[str]) -> bool:
    return any(not missing_columns(_split(line, separator), columns) for separator in (",", *SEPARATORS))


def _check_note(path: Path, first: str) -> None:
    if note := NOTE.fullmatch(first):
        others = "" if note[1] == "," else ", and separate the columns by commas"
        raise DataError(f"{path}: line 1 is Excel's note on the separator ({shown(first)}). Remove it{others}.")


def _check_writing(path: Path, first: str, columns: Sequence[str]) -> None:
    """Raise DataError for bytes that are not UTF-8, which the name of a column may hold."""
    if (fault := first_invalid_byte(first)) is None:
        return
    separator = _separator(first, columns)
    others = f", and its columns are separated by {separator}, expected commas" if separator else ""
    advice = " with commas" if separator else ' (in Excel: "CSV UTF-8")'
    raise DataError(f"{path}: line 1 is not UTF-8 ({fault}){others}. Save the file as UTF-8{advice}.")


def _check_separator(path: Path, first: str, columns: Sequence[str]) -> None:
    if separator := _separator(first, columns):
        raise DataError(
            f"{path}: the columns of line 1 ({shown(first.rstrip(BLANKS))}) are separated by {separator}, expected "
            "commas. Save the file as CSV with commas, or convert it."
        )


def _separator(first: str, columns: Sequence[str]) -> str | None:
    """Return the plural of a separator that gives all columns, or several fields where commas give one."""
    for separator, name in SEPARATORS.items():
        fields = _split(first, separator)
        if not missing_columns(fields, columns) or len(_split(first)) == 1 < len(fields):
            return name
    return None
