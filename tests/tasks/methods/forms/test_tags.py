"""Schemes of tags and their conversion to IOB2. Alone: pytest tests/tasks/methods/forms/test_tags.py."""

import pytest
from pydantic import ValidationError

from schemas.frozen import content_of
from schemas.recipe.problem import TokenClassification
from tasks.methods.forms.tags import to_iob2

TYPES = ("ship", "caf\u00e9")
NUMBERED = ["O", "B-ship", "I-ship"]


def convert(tags: str, scheme: object = None) -> str:
    return " ".join(to_iob2(tags.split(), TokenClassification(labels=TYPES, tags=scheme)))


@pytest.mark.parametrize(
    ("scheme", "tags", "converted"),
    [
        (None, "B-ship I-ship O B-ship B-ship", "B-ship I-ship O B-ship B-ship"),
        (None, "B-cafe\u0301 O", "B-caf\u00e9 O"),
        (
            "iob1",
            "I-ship I-ship B-ship I-ship O I-ship I-caf\u00e9",
            "B-ship I-ship B-ship I-ship O B-ship B-caf\u00e9",
        ),
        ("io", "ship ship O I-ship caf\u00e9", "B-ship I-ship O B-ship B-caf\u00e9"),
        ("iobes", "B-ship I-ship E-ship S-ship O S-caf\u00e9", "B-ship I-ship I-ship B-ship O B-caf\u00e9"),
        ("bioes", "B-ship E-ship", "B-ship I-ship"),
        ("bilou", "U-ship B-ship I-ship L-ship O", "B-ship B-ship I-ship I-ship O"),
        ("lower-case", "b-ship i-ship o B-CAFE\u0301", "B-ship I-ship O B-caf\u00e9"),
        (NUMBERED, "1 2 0 1", "B-ship I-ship O B-ship"),
    ],
)
def test_tags_of_a_named_scheme_become_iob2(scheme: object, tags: str, converted: str):
    assert convert(tags, scheme) == converted


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("O I-ship", "'I-ship' after 'O', as in IOB1: set problem.tags to iob1"),
        ("I-ship", "'I-ship' after the start, as in IOB1"),
        ("B-ship I-caf\u00e9", "'I-caf\u00e9' after 'B-ship', as in IOB1"),
        ("B-ship E-ship", "'E-ship', as in IOBES: set problem.tags to iobes"),
        ("O U-ship", "'U-ship', as in BILOU: set problem.tags to bilou"),
        ("o b-ship", "'o', in another case: set problem.tags to lower-case"),
        ("0 1 2", "'0', a number: give problem.tags the tags in the order of their numbers"),
        ("0 B-ship", "'0', the digit zero in place of the letter O"),
        ("O ship", "'ship', a type without prefix, as in IO: set problem.tags to io"),
        ("O B-boat", "'B-boat'"),
    ],
)
def test_scheme_is_not_guessed_but_named_in_the_message(tags: str, words: str):
    with pytest.raises(ValueError, match="^'") as caught:
        convert(tags)

    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("scheme", "tags", "words"),
    [
        ("iobes", "B-ship O", "'O' after 'B-ship'"),
        ("iobes", "B-ship I-ship", "the end after 'I-ship'"),
        ("iobes", "S-ship E-ship", "'E-ship' after 'S-ship'"),
        ("iobes", "B-ship E-caf\u00e9", "'E-caf\u00e9' after 'B-ship'"),
        ("bilou", "S-ship", "'S-ship', as in IOBES: set problem.tags to iobes"),
        ("iob1", "I-ship E-ship", "'E-ship', as in IOBES: set problem.tags to iobes"),
        ("io", "O L-ship", "'L-ship', as in BILOU: set problem.tags to bilou"),
        ("lower-case", "E-ship", "'E-ship', as in IOBES: set problem.tags to iobes"),
        ("iob1", "0 1", "'0', a number: give problem.tags the tags in the order of their numbers"),
        ("iob1", "O ship", "'ship', a type without prefix, as in IO: set problem.tags to io"),
        ("iob1", "o", "'o'"),
        (NUMBERED, "S-ship", "'S-ship'"),
        ("io", "B-ship", "'B-ship', a beginning, as in IOB2 and IOB1: set problem.tags to iob2 or iob1"),
        ("iob1", "I-boat", "'I-boat'"),
        (NUMBERED, "0 2", "'2' after '0'"),
        (NUMBERED, "0 3", "'3'"),
        (NUMBERED, "O", "'O'"),
    ],
)
def test_tags_that_the_named_scheme_does_not_have_are_invalid(scheme: object, tags: str, words: str):
    with pytest.raises(ValueError, match="'") as caught:
        convert(tags, scheme)

    assert str(caught.value) == words


def test_long_tags_are_cut_in_the_message():
    with pytest.raises(ValueError, match="^'") as caught:
        convert("x" * 5_000)

    assert len(str(caught.value)) < 60


def test_scheme_of_two_names_is_one_and_iob2_is_the_default():
    default, named = (TokenClassification(labels=TYPES, **tags) for tags in ({}, {"tags": "iob2"}))

    assert content_of(default) == content_of(named)
    assert "tags" not in content_of(default)
    assert TokenClassification(labels=TYPES, tags="bioes") == TokenClassification(labels=TYPES, tags="iobes")


@pytest.mark.parametrize("tags", ["iob3", ["O", "B-boat"], ["O", "O"], []])
def test_unknown_scheme_and_tags_of_other_types_are_refused(tags: object):
    with pytest.raises(ValidationError):
        TokenClassification(labels=TYPES, tags=tags)
