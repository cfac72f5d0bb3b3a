"""Values of a source, the columns that hold them, and their form in messages."""

from collections.abc import Sequence
from pathlib import Path

from schemas.errors import DataError, RecipeError
from tasks.methods.rows import compose

MAX_SHOWN = 40
# Spelled as in JSON.
BOOLEANS = {True: "true", False: "false"}
# Python decodes a byte that is not UTF-8 to this range (PEP 383), so that only values that are used are refused.
ESCAPED_BYTES = range(0xDC80, 0xDD00)


def check_texts(value: object, may_be_bytes: bool = True) -> None:
    """Check that a value's texts are Unicode, as those are that can be stored. Raises ValueError.

    may_be_bytes: whether bytes of the file that are not UTF-8 may have been decoded to halves of surrogate pairs
    """
    if isinstance(value, list | dict):
        for item in value if isinstance(value, list) else (*value, *value.values()):
            check_texts(item, may_be_bytes)
    if not isinstance(value, str):
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code, place = ord(value[error.start]), f"character {error.start + 1}"
        if may_be_bytes and code in ESCAPED_BYTES:
            raise ValueError(f"{place} is not UTF-8 (byte 0x{code - 0xDC00:02x}). Save the file as UTF-8") from None
        raise ValueError(
            f"{place} is \\u{code:04x}, half of a surrogate pair: the text was cut within a character"
        ) from None


def first_invalid_byte(text: str) -> str | None:
    """Return the first byte that is not UTF-8, and its place, in words."""
    places = (place for place, sign in enumerate(text) if ord(sign) in ESCAPED_BYTES)
    place = next(places, None)
    return None if place is None else f"byte 0x{ord(text[place]) - 0xDC00:02x} at character {place + 1}"


def shown(value: object) -> str:
    """Show a value in a message, with invisible characters escaped; long ones are cut, since texts may be private."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def find_columns(path: Path, names: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Return the places of columns among the names of a file, compared in NFC.

    Raises RecipeError for a column that is missing, DataError for one that is there twice.
    """
    if missing := missing_columns(names, columns):
        raise no_column(path, missing[0], names)
    normal = [compose(name) for name in names]
    found = []
    for column in columns:
        places = [place for place, name in enumerate(normal) if name == compose(column)]
        if len(places) > 1:
            numbers = " and ".join(str(place + 1) for place in places)
            raise DataError(
                f"{path}: the column {column!r} is there {len(places)} times ({numbers}), expected once. "
                "Rename or remove the others."
            )
        found.append(places[0])
    return found


def missing_columns(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    normal = set(map(compose, names))
    return [column for column in columns if compose(column) not in normal]


def no_column(path: Path, column: str, names: Sequence[str]) -> RecipeError:
    return RecipeError(
        f"{path}: there is no column {column!r}; its columns are {', '.join(map(shown, names[:20]))}. "
        "Name the right one in data.train or data.test of the recipe."
    )
