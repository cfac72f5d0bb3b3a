"""YAML without surprises: mappings with texts as keys, lists and plain values, each with its line and spelling.

Refused with the line: a key that is there twice, anchors, aliases, merge keys, tags, several documents, other keys than
texts, deep nesting, large files, dates, numbers in another notation than the decimal, and control characters.
Sources: YAML 1.1, https://yaml.org/type/ (what plain values mean), as PyYAML reads it.
"""

import re
from math import isfinite
from typing import Any, NamedTuple

import yaml
from yaml import events as found

from schemas.errors import RecipeError

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as Loader

MAX_BYTES = 1_000_000
MAX_VALUES = 50_000
MAX_DEPTH = 20
# For values that are passed over; the parser's time grows with the square of the depth.
MAX_SKIPPED_DEPTH = 1_000
# Decimal notation; Python refuses to read thousands of digits.
NUMBER = re.compile(r"[-+]?(?=.{1,40}$)((0|[1-9][0-9_]*)(\.[0-9_]*)?|\.[0-9_]+)(e[-+]?[0-9]+)?", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
TYPES = {"bool": "a switch", "int": "a number", "float": "a number", "null": "nothing", "timestamp": "a date"}
SHOWN = 60

Keys = tuple[str, ...]
"""Keys and positions from the top to a value."""


class Written(NamedTuple):
    """A value's line, counted from 1, and a plain value's spelling; None for a mapping or a list."""

    line: int
    spelling: str | None


class Document(NamedTuple):
    value: Any
    written: dict[Keys, Written]


def read_yaml(text: str, where: str) -> Document:
    """Read a document; `where` is its name in messages. Raises RecipeError."""
    return _Builder(text, where).document()


def read_field(text: str, name: str, where: str) -> Any:
    """Read one field of a mapping, None without it; other fields need only be YAML. Raises RecipeError."""
    return _Builder(text, where).field(name)


def cut(text: str) -> str:
    """Shorten a text for a message, with control characters visible."""
    shown = text if text.isprintable() else repr(text)[1:-1]
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 3]}..."


class _Builder:
    """Values from a stream of parser events, which unlike nodes are never expanded."""

    def __init__(self, text: str, where: str) -> None:
        try:
            raw = text.encode()
        except UnicodeEncodeError as error:
            line = text.count("\n", 0, error.start) + 1
            raise RecipeError(f"{where}, line {line}: a character is half of one; write the file in UTF-8.") from None
        if len(raw) > MAX_BYTES:
            raise RecipeError(f"{where}: it is larger than {MAX_BYTES:,} bytes. Shorten it, or name another file.")
        self.where = where
        self.written: dict[Keys, Written] = {}
        self.loader = Loader(raw)

    def document(self) -> Document:
        self._begin()
        self.written[()] = Written(1, "")
        value = None if self._is_next(found.StreamEndEvent) else self._value(self._next(), ())
        self._end()
        return Document(value, self.written)

    def field(self, name: str) -> Any:
        self._begin()
        value, lines = None, dict[str, int]()
        if isinstance(self._peek(), found.MappingStartEvent):
            self._next()
            while not self._is_next(found.MappingEndEvent):
                key = self._next()
                if isinstance(key, found.ScalarEvent) and key.value == name:
                    self._note_key(lines, (name,), key)
                    value = self._value(self._next(), (name,))
                else:
                    self._skip(key)
                    self._skip(self._next())
            self._next()
        elif not self._is_next(found.StreamEndEvent):
            self._skip(self._next())
        self._end()
        return value

    def _begin(self) -> None:
        self._next()
        if self._is_next(found.DocumentStartEvent):
            self._next()

    def _end(self) -> None:
        while not self._is_next(found.StreamEndEvent):
            event = self._next()
            if isinstance(event, found.DocumentStartEvent):
                raise self._refusal(event, "a second document begins here; keep one")

    def _value(self, event: Any, path: Keys) -> Any:
        self._refuse_marked(event)
        if len(path) > MAX_DEPTH:
            raise self._refusal(event, f"values are nested more than {MAX_DEPTH} deep; no recipe needs that")
        if len(self.written) >= MAX_VALUES:
            raise self._refusal(event, f"there are more than {MAX_VALUES:,} values; no recipe needs that")
        is_scalar = isinstance(event, found.ScalarEvent)
        self.written[path] = Written(_line(event), event.value if is_scalar else None)
        if is_scalar:
            return self._scalar(event)
        return self._mapping(path) if isinstance(event, found.MappingStartEvent) else self._list(path)

    def _refuse_marked(self, event: Any) -> None:
        if isinstance(event, found.AliasEvent):
            raise self._refusal(event, f"*{cut(event.anchor)} is an alias; write the value itself")
        if event.anchor is not None:
            raise self._refusal(event, f"&{cut(event.anchor)} is an anchor; leave it out and write each value itself")
        if event.tag is not None:
            raise self._refusal(event, f"{cut(event.tag)} is a tag; leave it out, or write a text in quotes")

    def _list(self, path: Keys) -> list[Any]:
        values: list[Any] = []
        while not self._is_next(found.SequenceEndEvent):
            values.append(self._value(self._next(), (*path, str(len(values)))))
        self._next()
        return values

    def _mapping(self, path: Keys) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not self._is_next(found.MappingEndEvent):
            event = self._next()
            key = self._key(event)
            self._note_key(lines, (*path, key), event)
            values[key] = self._value(self._next(), (*path, key))
        self._next()
        return values

    def _key(self, event: Any) -> str:
        self._refuse_marked(event)
        if not isinstance(event, found.ScalarEvent):
            raise self._refusal(event, "a key is a mapping or a list; write a field's name")
        kind = self._type(event)
        if kind == "merge":
            raise self._refusal(event, "<< is a merge key; write the fields themselves")
        if kind in TYPES:
            raise self._refusal(event, f"the key {_in_yaml(event.value, kind)}")
        return str(self._scalar(event))

    def _note_key(self, lines: dict[str, int], path: Keys, event: Any) -> None:
        if path[-1] in lines:
            field = cut(".".join(path))
            raise self._refusal(event, f"{field} is there twice, first in line {lines[path[-1]]}; keep one of them")
        lines[path[-1]] = _line(event)

    def _scalar(self, event: Any) -> Any:
        spelling, kind = event.value, self._type(event)
        if control := CONTROL.search(spelling):
            raise self._refusal(event, f"a value holds the control character U+{ord(control[0]):04X}; leave it out")
        if kind not in TYPES:
            return spelling
        if kind == "null":
            return None
        if kind == "bool":
            return spelling.lower() in ("yes", "true", "on")
        if not NUMBER.fullmatch(spelling):
            raise self._refusal(event, _in_yaml(spelling, kind))
        number = float(spelling.replace("_", ""))
        if not isfinite(number):
            raise self._refusal(event, f"{cut(spelling)} is too large for a number; write a smaller one")
        return int(spelling.replace("_", "")) if kind == "int" else number

    def _type(self, event: Any) -> str:
        """Return the type that a value has without its quotes' help, such as int; str for a quoted one."""
        return str(self.loader.resolve(yaml.ScalarNode, event.value, event.implicit)).rpartition(":")[2]

    def _skip(self, event: Any) -> None:
        """Pass over a value."""
        opened = int(_is_start(event))
        while opened:
            event = self._next()
            if opened > MAX_SKIPPED_DEPTH:
                raise self._refusal(event, f"values are nested more than {MAX_SKIPPED_DEPTH:,} deep")
            opened += _is_start(event) - isinstance(event, found.CollectionEndEvent)

    def _next(self) -> Any:
        self._peek()
        return self.loader.get_event()

    def _is_next(self, kind: type[yaml.Event]) -> bool:
        return isinstance(self._peek(), kind)

    def _peek(self) -> Any:
        try:
            return self.loader.peek_event()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            reason = getattr(error, "problem", None) or " ".join(str(error).split())
            raise RecipeError(f"{self.where}{line}: this is not a readable YAML file: {reason}.") from None

    def _refusal(self, event: Any, what: str) -> RecipeError:
        return RecipeError(f"{self.where}, line {_line(event)}: {what}.")


def explain_unquoted(spelling: str | None, value: Any) -> str:
    """Explain that a plain value such as yes or 1 is no text in YAML."""
    kind = "bool" if isinstance(value, bool) else "null" if value is None else "float"
    return _in_yaml(spelling or "", kind)


def _in_yaml(spelling: str, kind: str) -> str:
    if not spelling:
        return "nothing is written, a text is expected"
    # YAML 1.1 knows numbers of base 60, 16, 8 and 2.
    digits = "" if kind not in ("int", "float") or NUMBER.fullmatch(spelling) else ", or a number in plain digits"
    return f'{cut(spelling)} is {TYPES[kind]} in YAML, not a text: write "{cut(spelling)}" in quotes{digits}'


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _is_start(event: Any) -> bool:
    return isinstance(event, found.CollectionStartEvent)
