"""The base model of all schemas, types of names, and canonical digests."""

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

LARGEST = 2**53 - 1
"""The largest integer that every reader of JSON keeps exactly (RFC 8259, section 6); Prefect's server, which stores the
parameters of runs, fails on those of more than 64 bits."""

Seed = Annotated[int, Field(ge=0, le=LARGEST)]


def _portable(place: str) -> str:
    if place.startswith(("/", "~", "file:")):
        raise ValueError("an absolute path works on one machine only: give ./folder relative to the recipe's file")
    return place


Place = Annotated[str, Field(min_length=1), AfterValidator(_portable)]
"""An id of the hub, a package, or a folder relative to the recipe's file."""


class Frozen(BaseModel):
    """An immutable model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    OUTSIDE_KEY: ClassVar[frozenset[str]] = frozenset()
    """Fields that locate something and do not identify it: not part of a cache key."""

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_no_switches(cls, values: Any) -> Any:
        # A `before` field validator would break the discriminator `kind`.
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
    """Convert a part of a recipe to plain data, without locations and without fields that are None by default.

    So a new field that defaults to None changes no digest. Raises TypeError for other types.
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
    """Shorten a digest for people; enough digits to name a version."""
    return digest[:SHORT]


def canonical_json(value: Any) -> bytes:
    """Encode plain data so that equal data give equal bytes; NaN is refused."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest_of(value: Any) -> str:
    """Compute the SHA-256 of the canonical JSON of plain data."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
