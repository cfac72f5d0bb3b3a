"""Values of Arrow's types as texts, for the types whose values have one certain spelling.

Booleans are spelled true and false as in JSON; floats with the fewest digits that give the same number of their type,
NaN being a missing value; decimals with the digits of their scale; dates as in ISO 8601. A timestamp has no certain
spelling, nor have bytes of a fixed number, which may be a number or an identifier.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types

from tasks.methods.sources.values import BOOLEANS

Convert = Callable[[Any], object]
FLOATS: dict[int, Callable[[float], object]] = {16: np.float16, 32: np.float32, 64: np.float64}
LISTS = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
BYTES = (types.is_binary, types.is_large_binary, types.is_binary_view)


def text_form(kind: pa.DataType, spell_integer: Convert = str) -> Convert:
    """Return the conversion of a type's Python values to texts, lists, dicts and None, which stays None.

    Bytes are decoded as UTF-8. The conversion raises ValueError for a value that has no text. Raises TypeError, naming
    the type, for one without a certain spelling.
    """
    convert = _form(kind, spell_integer)
    return lambda value: None if value is None else convert(value)


def _form(kind: pa.DataType, spell_integer: Convert) -> Convert:
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return text_form(kind.value_type, spell_integer)
    if any(is_one(kind) for is_one in LISTS):
        item = text_form(kind.value_type, spell_integer)
        return lambda values: [item(value) for value in values]
    if types.is_struct(kind):
        fields = {field.name: text_form(field.type) for field in kind}
        return lambda value: {name: fields[name](inner) for name, inner in value.items()}
    return spell_integer if types.is_integer(kind) else _plain_form(kind)


def _plain_form(kind: pa.DataType) -> Convert:
    if types.is_floating(kind):
        return lambda value: None if value != value else str(FLOATS[kind.bit_width](value))
    if any(is_one(kind) for is_one in BYTES):
        return lambda value: bytes(value).decode()
    plain: dict[Callable[[pa.DataType], bool], Convert] = {
        types.is_boolean: BOOLEANS.__getitem__,
        types.is_date: lambda value: value.isoformat(),
        types.is_decimal: lambda value: format(value, "f"),
        types.is_large_string: str,
        types.is_null: str,
        types.is_string: str,
        types.is_string_view: str,
    }
    found = next((convert for is_one, convert in plain.items() if is_one(kind)), None)
    if found is None:
        raise TypeError(str(kind))
    return found
