"""Lines of a text file in UTF-8, as editors count them."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import DataError

OTHER_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines with their ends, without the byte order mark; only a line feed ends a line.

    Bytes that are not UTF-8 are escaped (PEP 383), and refused where a value that is used holds one.
    Raises DataError for a byte order mark of another encoding.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file):
            whole = _without_mark(path, line) if number == 0 else line
            yield whole.decode("utf-8", "surrogateescape")


def _without_mark(path: Path, line: bytes) -> bytes:
    for mark, encoding in OTHER_MARKS.items():
        if line.startswith(mark):
            raise DataError(f"{path}: line 1 is {encoding}, expected UTF-8. Save the file as UTF-8 and run again.")
    return line.removeprefix(codecs.BOM_UTF8)
