"""The form of a text or label, such as one text or a list of labels, and values of another form in words."""

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_SHOWN = 40


@dataclass(frozen=True)
class Form:
    """The form that a problem expects in a column.

    words: the form, with its article
    fits: (value that is not None) -> whether it has this form
    hint: a remedy for values of another form, as a part of a sentence
    """

    words: str
    fits: Callable[[Any], bool]
    hint: str = "correct the rows"


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


IN_LISTS = "write lists in JSON Lines or Parquet, since CSV holds none"

ONE_TEXT = Form("one text", is_text)
ONE_LABEL = Form("one label", is_text, "choose problem.kind multi-label-classification, which takes lists of labels")
LABELS = Form("a list of labels", is_list, IN_LISTS)
WORDS = Form("a list of words", is_list, IN_LISTS)
TAGS = Form("a list of tags", is_list, IN_LISTS)


_WRITER = reprlib.Repr()
_WRITER.maxstring = _WRITER.maxother = _WRITER.maxlong = MAX_SHOWN


def shown(value: Any) -> str:
    """Write a value for people, with control characters escaped and at most MAX_SHOWN characters."""
    shortened = _WRITER.repr(value)
    return shortened if len(shortened) <= MAX_SHOWN else f"{shortened[: MAX_SHOWN - 3]}..."


def describe_value(value: Any) -> str:
    """Name the form of a value, with its beginning."""
    names = {str: "text", list: "list", dict: "object", bool: "boolean", int: "number", float: "number"}
    return f"the {names.get(type(value), type(value).__name__)} {shown(value)}"
