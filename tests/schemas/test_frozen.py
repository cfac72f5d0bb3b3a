"""The content of a model: what keys and manifests hold of it. Alone: pytest tests/schemas/test_frozen.py."""

from typing import ClassVar

import pytest

from schemas.frozen import Frozen, content_of
from schemas.recipe.training import Training


class Rows(Frozen):
    OUTSIDE_KEY: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str = "here"
    kind: str = "file"


class Part(Frozen):
    rows: tuple[Rows, ...] = (Rows(),)
    limit: int | None = None


class LaterPart(Part):
    option: str | None = None


def test_field_that_comes_later_and_is_none_is_no_content():
    assert content_of(LaterPart()) == content_of(Part()) == {"rows": [{"kind": "file"}]}


def test_field_that_is_set_is_content():
    assert content_of(LaterPart(option="x")) == {"rows": [{"kind": "file"}], "option": "x"}


def test_none_that_is_not_the_default_is_content():
    """early_stopping: null means never, and leaving it out means the default."""
    assert content_of(Training(early_stopping=None))["early_stopping"] is None
    assert content_of(Training())["early_stopping"] == {"patience": 2}


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
def test_value_without_a_plain_form_is_refused(value: object):
    """The repr of an object, or the order of a set, would be another key in each process."""
    with pytest.raises(TypeError, match="no plain form"):
        content_of(value)
