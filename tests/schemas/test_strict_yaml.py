"""YAML as recipes may use it, and what is refused with its line. Alone: pytest tests/schemas/test_strict_yaml.py."""

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RecipeError
from schemas.strict_yaml import Written, read_field, read_yaml

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "no", "1", "<<", ""]), inner),
    max_leaves=20,
)


def test_values_keep_their_type_line_and_spelling():
    value, written = read_yaml("moons:\n  - {name: Io, seen: yes}\n  - 1_000\n  - 2.50\n  - '07'\n  - ~\n", "sky.yaml")

    assert value == {"moons": [{"name": "Io", "seen": True}, 1000, 2.5, "07", None]}
    assert written["moons", "0", "seen"] == Written(2, "yes")
    assert written["moons", "2"] == Written(4, "2.50")
    assert written["moons",] == Written(2, None)


@given(PLAIN)
def test_what_is_accepted_is_what_others_read(value: object):
    """No value differs from what was written; YAML's own notations of numbers are refused."""
    text = yaml.safe_dump(value)

    assert read_yaml(text, "any.yaml").value == yaml.safe_load(text) == value


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~"])
def test_document_without_a_value_is_nothing(text: str):
    assert read_yaml(text, "none.yaml").value is None


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("tide: 1\nwind: 2\ntide: 3\n", 3, "tide is there twice, first in line 1"),
        ("sea:\n  tide: 1\n  wind: 2\n  'tide': 3\n", 4, "sea.tide is there twice, first in line 2"),
        ("- {tide: 1, tide: 1}\n", 1, "0.tide is there twice"),
        ("tide: &t 1\n", 1, "&t is an anchor"),
        ("a: 1\ntide: *t\n", 2, "*t is an alias"),
        ("*t : 1\n", 1, "*t is an alias"),
        ("sea:\n  <<: {tide: 1}\n", 2, "<< is a merge key"),
        ("tide: !!str 1\n", 1, "is a tag"),
        ("!!map {tide: 1}\n", 1, "is a tag"),
        ("!sea tide: 1\n", 1, "!sea is a tag"),
        ("tide: !!python/object/apply:os.getcwd []\n", 1, "is a tag"),
        ("yes: 1\n", 1, 'the key yes is a switch in YAML, not a text: write "yes" in quotes'),
        ("a: 1\n3: 1\n", 2, "the key 3 is a number in YAML"),
        ("1999-12-31: 1\n", 1, "the key 1999-12-31 is a date"),
        ("? {a: 1}\n: 2\n", 1, "a key is a mapping or a list"),
        ("a: 1\n\ntide: 2031-05-06\n", 3, 'is a date in YAML, not a text: write "2031-05-06" in quotes'),
        ("tide: 2031-05-06 07:08:09\n", 1, "is a date"),
        ("tide: 6:45\n", 1, 'write "6:45" in quotes, or a number in plain digits'),
        ("tide: 6:45.5\n", 1, "6:45.5 is a number"),
        ("tide: 0123\n", 1, "0123 is a number"),
        ("tide: 0xff\n", 1, "0xff is a number"),
        ("tide: 0b11\n", 1, "0b11 is a number"),
        ("tide: -.inf\n", 1, "-.inf is a number"),
        ("tide: .NaN\n", 1, ".NaN is a number"),
        ("tide: 1.0e+400\n", 1, "is too large for a number"),
        ("tide: " + "7" * 5000 + "\n", 1, "is a number in YAML"),
        ("tide: 1\n---\ntide: 2\n", 2, "a second document begins here"),
        ("tide: [\n", 2, "not a readable YAML file"),
        ("\ttide: 1\n", 1, "not a readable YAML file"),
        ('a: 1\ntide: "\\0"\n', 2, "the control character U+0000"),
        ('tide: "\\e[31m"\n', 1, "the control character U+001B"),
        ("a: 1\ntide: \udc80\n", 2, "write the file in UTF-8"),
    ],
)
def test_what_could_be_misread_is_refused_with_its_line(text: str, line: int, expected: str):
    with pytest.raises(RecipeError) as caught:
        read_yaml(text, "sea.yaml")

    assert str(caught.value).startswith(f"sea.yaml, line {line}: ")
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


def doubling(levels: int) -> str:
    lines = ["a0: &a0 [drop, drop, drop]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        doubling(12),
        "[" * 400_000,
        "{a: " * 100_000,
        "- " * 400_000,
        "tide: " + "1:" * 400_000 + "1",
        "tide: " + "drop " * 400_000,
        "tide: [" + "1," * 450_000 + "1]",
    ],
    ids=["aliases", "lists", "mappings", "dashes", "base-60", "bytes", "values"],
)
def test_what_would_eat_time_and_memory_is_refused_at_once(text: str):
    began = time.process_time()
    with pytest.raises(RecipeError) as caught:
        read_yaml(text, "bomb.yaml")

    assert len(str(caught.value)) < 300
    assert time.process_time() - began < 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("licence: cc0\n", "cc0"),
        ("'licence': [a, b]\nother: 1\n", ["a", "b"]),
        ("date: 2031-05-06\n1: x\nkept: &k {a: 1}\nagain: *k\nlicence: cc0\n", "cc0"),
        ("deep: " + "[" * 50 + "]" * 50 + "\nlicence: cc0\n", "cc0"),
        ("inner: {licence: cc0}\n", None),
        ("- licence: cc0\n", None),
        ("licence\n", None),
        ("", None),
    ],
)
def test_one_field_is_read_whatever_the_others_are(text: str, expected: object):
    assert read_field(text, "licence", "card.md") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("licence: cc0\nlicence: mit\n", "line 2: licence is there twice, first in line 1"),
        ("a: &a [x]\nlicence: *a\n", "line 2: *a is an alias"),
        ("licence: &a cc0\n", "line 1: &a is an anchor"),
        ("licence: cc0\nother: [\n", "not a readable YAML file"),
        # The parser would take an hour for these.
        ("licence: cc0\nother: " + "[" * 900_000, "line 2: values are nested more than 1,000 deep"),
        ("licence: cc0\n? " + "{" * 900_000, "line 2: values are nested more than 1,000 deep"),
    ],
    ids=["twice", "alias", "anchor", "open", "deep value", "deep key"],
)
def test_one_field_that_could_be_misread_is_refused(text: str, expected: str):
    with pytest.raises(RecipeError) as caught:
        read_field(text, "licence", "card.md")

    assert expected in str(caught.value)
