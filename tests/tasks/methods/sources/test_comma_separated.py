"""Rows of CSV files. Alone: pytest tests/tasks/methods/sources/test_comma_separated.py."""

from pathlib import Path

import pytest

from schemas.errors import DataError, RecipeError
from tasks.methods.sources.comma_separated import read_rows


def read(tmp_path: Path, content: str | bytes) -> list[tuple[int, list[object]]]:
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(path, ("text", "label")))


def values(tmp_path: Path, content: str | bytes) -> list[list[object]]:
    return [row for _, row in read(tmp_path, content)]


@pytest.mark.parametrize(
    "content",
    [
        ",text,label\n0,tea,warm\n1,ice,cold\n",
        "text,label,\ntea,warm,\nice,cold,\n",
        f"text,page,label\ntea,{'z' * 300_000},warm\nice,,cold\n",
        "label,text,note,note\nwarm,tea,1,2\ncold,ice,3,4\n",
        b"text,by,label\ntea,J\xe9r\xf4me,warm\nice,,cold\n",
        "\ufefftext,label\r\ntea,warm\r\nice,cold\r\n",
        "text,label\rtea,warm\rice,cold\r",
        "text,label\n\ntea,warm\n  \nice,cold",
    ],
    ids=["index", "comma at line ends", "long field", "note twice", "not UTF-8", "BOM and CRLF", "CR", "blank lines"],
)
def test_what_is_not_asked_for_refuses_nothing(tmp_path: Path, content: str | bytes):
    assert values(tmp_path, content) == [["tea", "warm"], ["ice", "cold"]]


def test_quoted_text_of_several_lines_is_read_and_lines_count_as_in_an_editor(tmp_path: Path):
    content = 'text,label\n"one, or\n""two""\r\nthree\rfour",warm\n\n 5" pipe ,cold\n'

    assert read(tmp_path, content) == [
        (2, ['one, or\n"two"\r\nthree\rfour', "warm"]),
        (6, [' 5" pipe ', "cold"]),
    ]


def test_column_is_found_in_the_other_unicode_form(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("te\u0301xt,label\ntea,warm\n")

    assert list(read_rows(path, ("t\u00e9xt", "label"))) == [(2, ["tea", "warm"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            'text,label\ntea,warm\n"ice,cold\nsnow" now,cold\n',
            "line 4 goes on behind a closing quote.*begins in line 3",
        ),
        ('text,label\n"they say \\"tea\\" here",warm\n', "line 2 goes on behind a closing quote"),
        ('text,label\ntea,warm\n"ice,cold\nsnow,cold\n', "line 3 opens a quote that is not closed"),
        ('text,label\n"ice,cold\ntea",warm\nsun,warm\nsnow,cold\n', "lines 2 to 3 are one row by their quotes"),
        ('label,text\ncold,"ice\nwarm,tea"\nwarm,sun\ncold,snow\n', "lines 2 to 3 .*labels 'cold', 'warm'"),
        ('text,label\n"ice,cold\n\ntea",warm\nsun,warm\nsnow,cold\n', "lines 2 to 4 are one row by their quotes"),
        ("text,label\ntea,warm\ntext,label\nice,cold\n", "line 3 is the header again, .* one after another"),
        ("\ufefftext,label\ntea,warm\n\ufefftext,label\nice,cold\n", "line 3 is the header again"),
        ("text,label\ntea,warm\nhot\rtea,warm\n", r"line 3 has a carriage return \(CR\) outside quotes"),
        ("text,label\ntea,warm\nice,cold\r\n", r"line 3 ends with '\\r\\n', the header with '\\n'"),
        ("text,label\r\ntea,warm\n", r"line 2 ends with '\\n', the header with '\\r\\n'"),
        ("text,label\ntea,warm\nice,cold\r", r"line 3 ends with '\\r'"),
        ("text,label,label\ntea,warm,cold\n", r"the column 'label' is there 2 times \(2 and 3\)"),
        ("te\u0301xt,t\u00e9xt,text,text,label\n", r"the column 'text' is there 2 times \(3 and 4\)"),
        ("\ntext,label\ntea,warm\n", "line 1 is empty, expected the header"),
        ("Drinks of May\ntext,label\ntea,warm\n", r"line 1 is no header \(it holds 'Drinks of May'\), line 2 is"),
        ("# a, b\n# c\ntext,label\ntea,warm\n", "line 1 is no header .*line 3 is"),
        ("Drinks of May\ntea,warm\n", "line 1 is no header .* it has 1 field, line 2 has 2"),
        ("\ufeff\ufefftext,label\ntea,warm\n", "two byte order marks"),
        ("Drinks; May\ntext,label\ntea,warm\n", "line 1 is no header .* line 2 is"),
        ("Drinks of May\n\ntea\rcup,warm\n", "line 1 is no header .* it has 1 field, line 3 has 2"),
        (f"Drinks of May\n{'z' * 300_000},warm\n", "line 1 is no header .* it has 1 field, line 2 has 2"),
        ("nr;text;label\n1;tea, milk, ice;warm\n", r"line 1 \('nr;text;label'\) are separated by semicolons, expected"),
        ("nr;text;label\n1;tea;warm\n", "separated by semicolons, expected commas. Save the file as CSV with commas"),
        ('"text";"label"\n"tea, milk";"warm"\n', "separated by semicolons"),
        ("text;label;a, b\ntea;warm;1\n", "separated by semicolons"),
        ("nr;body;label\n1;tea;warm\n", "separated by semicolons"),
        ("text;label\ntea;warm\ntext;label\n", r"\('text;label'\) are separated by semicolons"),
        ("Drinks;\ntext;label\ntea;warm\n", "line 1 is no header .* line 2 is. Remove the lines before it"),
        ("text|label\ntea|warm\n", "separated by vertical bars"),
        ("text\tlabel\ntea, milk\twarm\n", "separated by tabs, expected commas"),
        (b"t\xe9xt,label\ntea,warm\n", r"csv: line 1 is not UTF-8 \(byte 0xe9 at character 2\). .* \"CSV UTF-8\""),
        (
            b"t\xe9xt;label\ntea;warm\n",
            "byte 0xe9 at character 2.*, and its columns are separated by semicolons, .* UTF-8 w",
        ),
        ("sep=;\ntext;label\ntea;warm\n", r"line 1 is Excel's note .*\('sep=;'\). Remove it, and separate .* commas"),
        ('"sep=\t"\ntext\tlabel\ntea\twarm\n', "line 1 is Excel's note on the separator"),
        ("sep=,\ntext,label\ntea,warm\n", r"line 1 is Excel's note .*\('sep=,'\). Remove it.$"),
        ("text,label\ntea,warm\n".encode("utf-16"), "line 1 is UTF-16"),
        ("text,label\ntea,warm\n\x1a", r"line 3 has 1 field, the header has 2; it begins with '\\x1a'"),
        ("text,label\ntea,warm,\n", "line 2 has 3 fields, the header has 2"),
    ],
)
def test_what_cannot_be_said_for_sure_is_refused_with_the_line(tmp_path: Path, content: str | bytes, message: str):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_text_whose_lines_only_look_like_rows_is_read(tmp_path: Path):
    content = 'text,label\n"Dear sir, please\nsend tea",warm\nice,cold\n'

    assert values(tmp_path, content)[0] == ["Dear sir, please\nsend tea", "warm"]


def test_semicolons_within_a_header_are_no_separators(tmp_path: Path):
    assert values(tmp_path, '"a;b",text,label;c,label\n1,tea,2,warm\n') == [["tea", "warm"]]
    with pytest.raises(RecipeError, match="no column 'text'; its columns are 'a;b', 'label'"):
        read(tmp_path, '"a;b",label\n1,warm\n')


def test_names_of_missing_columns_are_shortened(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"no column 'text'; its columns are 'z{39}\.\.\., 'label'") as caught:
        read(tmp_path, f"{'z' * 500},label\ntea,warm\n")
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("content", ["", "\ufeff", "\n\n", "text,label\n"])
def test_file_without_rows_gives_none(tmp_path: Path, content: str):
    assert read(tmp_path, content) == []
