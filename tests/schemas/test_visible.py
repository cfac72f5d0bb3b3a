"""Stored texts as they are shown. Alone: pytest tests/schemas/test_visible.py."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.visible import visible

DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
TEXTS = st.text(st.characters(codec=None))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\u001b[31mred\\u001b[0m"),
        ("one\rtwo\nthree\tfour", "one\\rtwo\\nthree\\tfour"),
        ("\x9b2J\x7f", "\\u009b2J\\u007f"),
        ("abc\u202etxt.exe\u2066\u2069", "abc\\u202etxt.exe\\u2066\\u2069"),
        ("a\u2028b\u200bc\ufeffd\U000e0041", "a\\u2028b\\u200bc\\ufeffd\\udb40\\udc41"),
        ("half \ud83d", "half \\ud83d"),
        ("naïve 中文 \u05e9\u05dc\u05d5\u05dd", "naïve 中文 \u05e9\u05dc\u05d5\u05dd"),
        ("family \U0001f469\u200d\U0001f467 and \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",) * 2,
    ],
)
def test_what_a_terminal_obeys_or_hides_is_spelled_out_and_nothing_else(text: str, shown: str):
    assert visible(text) == shown


def test_lines_are_kept_where_there_may_be_several():
    assert visible("one\n\ttwo\r\x1b", lines=True) == "one\n\ttwo\\r\\u001b"


@given(TEXTS)
def test_no_control_is_left_and_the_result_can_be_written(text: str):
    shown = visible(text)

    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    assert not {unicodedata.bidirectional(char) for char in shown} & DIRECTIONS
    shown.encode()
    assert visible(shown) == shown


@given(TEXTS)
def test_json_means_the_same(text: str):
    assert json.loads(visible(json.dumps(text, ensure_ascii=False), lines=True)) == text
