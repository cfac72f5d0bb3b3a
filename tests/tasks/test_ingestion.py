"""Reading sources: what is read, and what bad files get. Alone: pytest tests/tasks/test_ingestion.py."""

import json
from pathlib import Path

import pandas as pd
import pytest

from schemas.errors import DataError, RecipeError
from schemas.recipe.data import FileSource
from schemas.records.references import SourceFile, SourceFiles
from tasks.ingestion import read_source, take_fraction
from tasks.methods.rows import content_id
from tasks.methods.sources.file import read_rows
from tasks.services.storage.store import file_digest


def read(*paths: Path, **options: object) -> pd.DataFrame:
    source = FileSource(path=tuple(path.name for path in paths), text="text", label="label", **options)
    files = tuple(SourceFile(digest=file_digest(path), path=str(path)) for path in paths)
    return read_source(source, SourceFiles(digest="0" * 64, files=files))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_values_stay_the_text_they_are(tmp_path: Path):
    rows = read(write(tmp_path / "a.csv", 'text,label,more\nNA,yes,1\n007,no,2\n"a, ""b""\nc",null,3\n'))

    assert list(rows["text"]) == ["NA", "007", 'a, "b"\nc']
    assert list(rows["label"]) == ["yes", "no", "null"]
    assert list(rows["row"]) == [1, 2, 3]


def test_json_lines_and_parquet_give_the_same_rows_as_csv(tmp_path: Path):
    table = [{"text": "eins", "label": "a"}, {"text": "zwei", "label": "b"}]
    write(tmp_path / "a.jsonl", "\n".join(json.dumps(row) for row in table))
    pd.DataFrame(table).to_parquet(tmp_path / "a.parquet")
    expected = read(write(tmp_path / "a.csv", "text,label\neins,a\nzwei,b\n"))

    pd.testing.assert_frame_equal(read(tmp_path / "a.jsonl"), expected)
    pd.testing.assert_frame_equal(read(tmp_path / "a.parquet"), expected)


def test_missing_values_and_numbers_become_none_and_text(tmp_path: Path):
    lines = [{"text": None, "label": 1}, {"text": "x", "label": None}, {"text": "y", "label": 0}]
    rows = read(write(tmp_path / "a.jsonl", "\n".join(json.dumps(line) for line in lines)))

    assert list(rows["text"]) == [None, "x", "y"]
    assert list(rows["label"]) == ["1", None, "0"]


def test_texts_are_brought_to_nfc_and_named_by_content(tmp_path: Path):
    rows = read(write(tmp_path / "a.csv", "text,label\ncafe\u0301,a\ncaf\u00e9,a\n"))

    assert list(rows["text"]) == ["caf\u00e9"] * 2
    assert list(rows["id"]) == [content_id("caf\u00e9")] * 2


def test_files_follow_each_other_and_rows_remember_theirs(tmp_path: Path):
    one, two = (write(tmp_path / f"{name}.csv", f"text,label\n{name},x\n") for name in ("one", "two"))

    rows = read(two, one)

    assert list(zip(rows["file"], rows["row"], rows["text"], strict=True)) == [(1, 1, "two"), (2, 1, "one")]


def test_file_without_rows_adds_none_to_others(tmp_path: Path):
    whole = write(tmp_path / "whole.csv", "text,label\nx,a\n")
    empty = [write(tmp_path / "header.csv", "text,label\n"), write(tmp_path / "empty.csv", "")]
    blank = write(tmp_path / "blank.jsonl", "\n\n")
    pd.DataFrame({"text": ["y"], "label": ["b"]}).head(0).to_parquet(tmp_path / "none.parquet")

    rows = read(*empty, whole, blank, tmp_path / "none.parquet")
    assert list(zip(rows["file"], rows["row"], rows["text"], strict=True)) == [(3, 1, "x")]
    with pytest.raises(DataError, match="header.csv, .*empty.csv: no rows"):
        read(*empty)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_file_that_is_gone_since_it_was_pinned_is_refused(tmp_path: Path, name: str):
    with pytest.raises(DataError, match=f"{name}: it cannot be read: No such file"):
        read_rows(FileSource(path=name, text="text", label="label"), [tmp_path / name])


def test_file_that_changed_since_it_was_pinned_is_refused(tmp_path: Path):
    path = write(tmp_path / "a.csv", "text,label\nx,a\n")
    files = SourceFiles(digest="0" * 64, files=(SourceFile(digest="0" * 64, path=str(path)),))

    with pytest.raises(DataError, match="was changed while it was read"):
        read_source(FileSource(path="a.csv", text="text", label="label"), files)


def test_fraction_is_stratified_seeded_and_stable_when_rows_are_added():
    texts = [f"text {number}" for number in range(400)]
    rows = pd.DataFrame({"id": map(content_id, texts), "label": ["a", "b", "b", "b"] * 100})
    taken = take_fraction(rows, 0.1, seed=0)

    assert dict(taken["label"].value_counts()) == {"b": 30, "a": 10}
    assert set(taken["id"]) == set(take_fraction(rows.sample(frac=1, random_state=0), 0.1, seed=0)["id"])
    assert set(taken["id"]) != set(take_fraction(rows, 0.1, seed=1)["id"])
    assert len(take_fraction(rows.head(8), 0.01, seed=0)) == 2
    assert take_fraction(rows, 1.0, seed=0) is rows


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.csv", b"", DataError, "no rows; expected rows with the columns text, label"),
        ("a.csv", b"text,label\n", DataError, "no rows"),
        ("a.csv", b"\xef\xbb\xbf", DataError, "no rows"),
        (
            "a.csv",
            b"text,label\ngood,a\nbad \xff,b\n",
            DataError,
            r"'text': character 5 is not UTF-8 \(byte 0xff\). Save",
        ),
        ("a.jsonl", b'{"text": "\xfc", "label": "a"}', DataError, r"character 1 is not UTF-8 \(byte 0xfc\). Save"),
        ("a.csv", b"body,label\nx,a\n", RecipeError, "no column 'text'; its columns are 'body', 'label'"),
        ("a.csv", b"text,label\nx,a,b,c\ny,a\n", DataError, "line 2 has 4 fields, the header has 2"),
        ("a.jsonl", b'{"text": "x", "label"\n', DataError, "line 1 is not JSON"),
        ("a.jsonl", b'{"text": "x \\ud83d", "label": "a"}', DataError, "line 1, column 'text': .* half of a surrogate"),
        ("a.parquet", b"", DataError, "not written to its end"),
        ("a.parquet", b"not a parquet file", DataError, "cannot be read as parquet"),
    ],
)
def test_unreadable_file_is_refused_with_where_and_what(tmp_path: Path, name, content, error, message):
    path = write(tmp_path / name, content)

    with pytest.raises(error, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_text_of_several_columns_has_a_blank_line_between_and_none_for_what_is_empty(tmp_path: Path):
    lines = [
        {"instruction": "Add.", "input": "1 + 2", "output": "3"},
        {"instruction": "Sing.", "input": "", "output": "la"},
        {"instruction": None, "input": None, "output": "?"},
    ]
    write(tmp_path / "a.jsonl", "\n".join(json.dumps(line) for line in lines))
    source = FileSource(path="a.jsonl", text=["instruction", "input"], label="output")
    path = tmp_path / "a.jsonl"
    rows = read_source(
        source, SourceFiles(digest="0" * 64, files=(SourceFile(digest=file_digest(path), path=str(path)),))
    )

    assert list(rows["text"]) == ["Add.\n\n1 + 2", "Sing.", None]
    with pytest.raises(RecipeError, match="there is no column 'inputs'"):
        read_rows(FileSource(path="a.jsonl", text=["instruction", "inputs"], label="output"), [path])


def test_fraction_of_rows_whose_labels_are_texts_is_one_of_all():
    texts = [f"text {number}" for number in range(400)]
    rows = pd.DataFrame({"id": map(content_id, texts), "label": [f"answer {number // 2}" for number in range(400)]})
    rows.loc[0, "label"] = "one more"

    assert len(take_fraction(rows, 0.1, seed=0)) == 40


def test_columns_are_found_by_names_that_look_equal(tmp_path: Path):
    path = write(tmp_path / "a.csv", "te\u0308xt,label\nx,a\n")

    assert list(read_rows(FileSource(path="a.csv", text="t\u00ebxt", label="label"), [path])["text"]) == ["x"]


def test_values_of_any_form_are_left_to_the_contract(tmp_path: Path):
    lines = [{"text": {"a": 1}, "label": ["x"]}, {"text": "b", "label": "y"}]
    rows = [read(write(tmp_path / f"{place}.jsonl", json.dumps(line))) for place, line in enumerate(lines)]

    assert [one["text"].iloc[0] for one in rows] == [{"a": "1"}, "b"]
    assert [one["label"].iloc[0] for one in rows] == [["x"], "y"]
