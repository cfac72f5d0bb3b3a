"""Rows of JSON Lines files. Alone: pytest tests/tasks/methods/sources/test_json_lines.py."""

import json
from pathlib import Path

import pytest

from schemas.errors import DataError, RecipeError
from tasks.methods.sources.json_lines import read_rows


def read(tmp_path: Path, content: str | bytes) -> list[tuple[int, list[object]]]:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(path, ("text", "label")))


def values(tmp_path: Path, *labels: str) -> list[object]:
    lines = [f'{{"text": "tea", "label": {label}}}' for label in labels]
    return [label for _, (_, label) in read(tmp_path, "\n".join(lines))]


def test_values_are_spelled_as_in_the_file_whatever_others_of_their_column_are(tmp_path: Path):
    long = "1" * 5000
    spelled = ["9007199254740993", "1.10", "0.5", "5", "1E400", "-0", long, "true", "false", "Infinity"]
    texts = ["2031-07-02", "007", "12.50", "1e3", "NaN", "true", "", "2031-07-02T00:00:00Z"]

    assert values(tmp_path, *spelled, *map(json.dumps, texts)) == spelled + texts


def test_missing_values_are_none_and_lists_and_objects_stay(tmp_path: Path):
    found = values(tmp_path, "null", "NaN", '["a", 1.0, [true], null]', '{"role": "user", "n": 2}')

    assert found == [None, None, ["a", "1.0", ["true"], None], {"role": "user", "n": "2"}]


def test_lines_count_as_in_an_editor_and_a_row_may_lack_a_column(tmp_path: Path):
    content = '\ufeff{"text": "tea\u2028cup", "label": "warm"}\r\n\n \n{"text": "a\tb"}'

    assert read(tmp_path, content) == [(1, ["tea\u2028cup", "warm"]), (4, ["a\tb", None])]


def test_column_that_is_not_asked_for_refuses_nothing(tmp_path: Path):
    other = ["null", '"crew"', "[1, {}]", '{"a": 1, "a": 2}', r'"\ud83d"', "NaN", "1" * 5000]
    lines = [f'{{"seen": {value}, "seen": 1, "text": "tea", "label": "warm"}}' for value in other]
    latin = b'{"text": "tea", "by": "J\xe9r\xf4me", "label": "warm"}'

    assert [row for _, row in read(tmp_path, "\n".join(lines).encode() + b"\n" + latin)] == [["tea", "warm"]] * 8


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "tea", "label"', "line 3 is not JSON: .*character"),
        ('{"text": "tea", "label": "warm"} {}', "line 3 is not JSON: Extra data"),
        ('["tea", "warm"]', "line 3 holds .*'tea', 'warm'.*expected an object"),
        (
            "[",
            "line 3 begins a list of several lines, expected an object with the columns' names. Write one whole object",
        ),
        ('[{"text": "tea", "label": "warm"},', "line 3 begins a list of several lines"),
        ("[{", "line 3 begins a list of several lines"),
        ("{", "line 3 begins an object of several lines"),
        ("[1 2]", "line 3 is not JSON: .* Write one whole object"),
        (
            '{"text": "\\udcfc", "label": "c"}',
            r"line 3, column 'text': character 1 is \\udcfc, half of a surrogate pair",
        ),
        ("[" * 100_000, "line 3 has lists or objects nested too deeply"),
        ('{"text": "tea", "label": "warm", "label": "cold"}', "line 3, column 'label': .* names it 2 times"),
        ('{"te\u0301xt": 1, "text": "a", "text": "b", "label": "c"}', "line 3, column 'text': .* names it 2 times"),
        ('{"text": [{"a": 1, "a": 2}], "label": "c"}', "line 3, column 'text': an object in it names 'a' twice"),
        (f'{{"text": {"[" * 300}{"]" * 300}, "label": "c"}}', "line 3, column 'text': .* nested more than 100 deep"),
    ],
)
def test_broken_line_is_refused_with_its_number(tmp_path: Path, line: str, message: str):
    with pytest.raises(DataError, match=message):
        read(tmp_path, f'{{"text": "tea", "label": "warm"}}\n\n{line}\n')


def test_column_that_no_line_has_is_refused(tmp_path: Path):
    with pytest.raises(RecipeError, match="no column 'label'; its columns are 'text', 'labels'"):
        read(tmp_path, '{"text": "tea", "labels": "warm"}\n')


def test_column_is_found_in_the_other_unicode_form(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"te\u0301xt": "tea"}\n{"t\u00e9xt": "ice"}\n')

    assert list(read_rows(path, ("t\u00e9xt",))) == [(1, ["tea"]), (2, ["ice"])]


def test_blank_file_gives_no_rows(tmp_path: Path):
    assert read(tmp_path, "\n \n") == []
