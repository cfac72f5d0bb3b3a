"""The model every noun here derives from, and the one rule for names."""

import hashlib
import json
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

NAME_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""Lower-case letters, digits and inner dots, dashes, underscores; it becomes a key in the store."""

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
"""A plain file name that cannot leave its folder."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in lower-case hexadecimal."""

SHORT = 12


def _portable(place: str) -> str:
    if place.startswith(("/", "~", "file:")):
        raise ValueError("an absolute path works on one machine only: give ./folder relative to the recipe's file")
    return place


Place = Annotated[str, Field(min_length=1), AfterValidator(_portable)]
"""An id of the hub, a package, or a folder relative to the recipe's file."""


class Frozen(BaseModel):
    """Immutable, and refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    OUTSIDE_KEY: ClassVar[frozenset[str]] = frozenset()
    """Fields that say where something is, not what it is: no part of a cache key."""

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_no_switches(cls, values: Any) -> Any:
        # A field validator that comes before would forbid `kind` to tell classes apart.
        wrong = [
            InitErrorDetails(type=_SWITCH, loc=(name,), input=value)
            for name, value in (values.items() if isinstance(values, dict) else ())
            if isinstance(value, bool)
            and name in cls.model_fields
            and cls.model_fields[name].annotation in (int, float, int | None, float | None)
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return values


_SWITCH = PydanticCustomError("switch", "expected a number, not a switch")


def content_of(value: Any) -> Any:
    """Plain data of what a part of a recipe says: without where things are, and without what is None by default.

    So a field that comes later, None by default, changes no digest. Raises TypeError for what has no plain form.
    """
    if isinstance(value, Frozen):
        fields = {name: (getattr(value, name), field) for name, field in type(value).model_fields.items()}
        return {
            name: content_of(item)
            for name, (item, field) in fields.items()
            if name not in value.OUTSIDE_KEY and not (item is None and field.default is None)
        }
    if isinstance(value, tuple | list):
        return [content_of(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a {type(value).__name__} has no plain form: expected parts of a recipe, texts and numbers")


def short(digest: str) -> str:
    """The digits of a digest that people are shown; enough to name a version."""
    return digest[:SHORT]


def canonical_json(value: Any) -> bytes:
    """Encode plain data so that equal data give equal bytes; NaN is refused."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of plain data."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
