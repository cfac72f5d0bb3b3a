"""Forms of values, spellings of labels, turns. Alone: pytest tests/tasks/methods/forms/test_forms.py."""

import pytest

from tasks.methods.forms.form import LABELS, MAX_SHOWN, ONE_LABEL, describe_value, shown
from tasks.methods.forms.spelling import name_of
from tasks.methods.forms.turns import PROMPT, find_invalid_turns, read_turns


def say(role: str, content: str, **more: object) -> dict[str, object]:
    return {"role": role, "content": content, **more}


ASKED = [say("user", "Where is the key?")]
ANSWERED = [*ASKED, say("assistant", "Under the mat.", name=None)]


@pytest.mark.parametrize(
    "value",
    ["x" * 5_000, ["word"] * 900, {"content": "x" * 5_000}, [{"a": ["x" * 5_000]}] * 9, 10**90, [[["x"] * 99] * 9]],
)
def test_value_in_a_message_is_cut(value: object):
    assert len(shown(value)) <= MAX_SHOWN


def test_value_in_a_message_hides_no_control_characters():
    assert shown("a\u202eb\x1b[2J") == "'a\\u202eb\\x1b[2J'"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a", "the text 'a'"),
        (["a", None], "the list ['a', None]"),
        ({"a": 1}, "the object {'a': 1}"),
        (True, "the boolean True"),
        (1.5, "the number 1.5"),
    ],
)
def test_form_of_a_value_is_named(value: object, words: str):
    assert describe_value(value) == words


def test_a_list_holds_texts_only():
    assert LABELS.fits(["a", "b"])
    assert LABELS.fits([])
    assert not any(map(LABELS.fits, ("a", ["a", None], [["a"]], [1], {"a": "b"})))
    assert not any(map(ONE_LABEL.fits, (["a"], {"a": "b"}, 1, True)))


@pytest.mark.parametrize(
    ("label", "names", "name"),
    [
        ("cafe\u0301", ("caf\u00e9", "tea"), "caf\u00e9"),
        ("True", ("true", "false"), "true"),
        ("false", ("TRUE", "FALSE"), "FALSE"),
        ("1.0", ("0", "1"), "1"),
        ("-1", ("-1.0", "1.0"), "-1.0"),
        ("1.00", ("1", "1.0"), "1.00"),
        ("1.5", ("1", "2"), "1.5"),
        ("01", ("1", "2"), "01"),
        ("Tea", ("tea", "caf\u00e9"), "Tea"),
    ],
)
def test_label_is_the_name_that_it_spells(label: str, names: tuple[str, ...], name: str):
    assert name_of(label, names) == name


@pytest.mark.parametrize(
    ("text", "answer", "turns", "said"),
    [
        (ASKED, "Here.", ["Where is the key?"], "Here."),
        (ANSWERED, "Under the mat.", ["Where is the key?"], "Under the mat."),
        (ANSWERED, ANSWERED, ["Where is the key?"], "Under the mat."),
        (ASKED, [say("assistant", "Here.")], ["Where is the key?"], "Here."),
        ([*ANSWERED, *ASKED], "There.", ["Where is the key?", "Under the mat.", "Where is the key?"], "There."),
        ([say("user", "Cafe\u0301?")], "Yes.", ["Caf\u00e9?"], "Yes."),
        (["Where?", "Here.", "Really?"], "Yes.", ["Where?", "Here.", "Really?"], "Yes."),
    ],
)
def test_turns_that_are_objects_are_read(text: object, answer: object, turns: list[str], said: str):
    assert PROMPT.fits(text)
    assert find_invalid_turns(text, answer) is None
    assert read_turns(text, answer) == (turns, said)


@pytest.mark.parametrize(
    ("text", "answer", "words"),
    [
        (ANSWERED, "Elsewhere.", "turns of 'user', 'assistant' (expected the user's"),
        ([say("system", "Be brief."), *ASKED], "Here.", "turns of 'system', 'user' (expected"),
        ([*ASKED, *ASKED, *ASKED], "Here.", "turns of 'user', 'user', 'user' (expected"),
        (ASKED, [say("user", "Here.")], "an answer of turns"),
        (ASKED, ANSWERED, "an answer of turns"),
        (["Where?", "Here."], "Yes.", "2 turns (expected"),
    ],
)
def test_turns_in_another_order_are_not_guessed(text: object, answer: object, words: str):
    assert str(find_invalid_turns(text, answer)).startswith(words)


@pytest.mark.parametrize(
    "text",
    [
        [say("user", "x", tool_calls=[{"id": 1}])],
        [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        [{"from": "human", "value": "x"}],
        {"role": "user", "content": "x"},
        [*ASKED, "x"],
        7,
    ],
)
def test_what_is_no_turn_is_no_prompt(text: object):
    assert not PROMPT.fits(text)
