"""Rows of Parquet files. Alone: pytest tests/tasks/methods/sources/test_parquet.py."""

import datetime
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import DataError, RecipeError
from tasks.methods.sources.parquet import read_rows


def read(tmp_path: Path, label: pa.Array, **others: pa.Array) -> list[object]:
    table = pa.table({"text": pa.array(["tea"] * len(label)), "label": label} | others)
    pq.write_table(table, tmp_path / "a.parquet")
    return [row[1] for _, row in read_rows(tmp_path / "a.parquet", ("text", "label"))]


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        (["007", None], pa.large_string(), ["007", None]),
        ([b"caf\xc3\xa9"], pa.binary(), ["caf\u00e9"]),
        ([7, -1], pa.int8(), ["7", "-1"]),
        ([2**63 + 1], pa.uint64(), ["9223372036854775809"]),
        ([True, False], pa.bool_(), ["true", "false"]),
        ([0.1, 1.0, float("nan"), 1e-7], pa.float32(), ["0.1", "1.0", None, "1e-07"]),
        ([0.1, 1e22], pa.float64(), ["0.1", "1e+22"]),
        ([Decimal("1.10")], pa.decimal128(9, 2), ["1.10"]),
        ([datetime.date(2031, 7, 2)], pa.date32(), ["2031-07-02"]),
        ([["a", "b"], [], None], pa.list_(pa.string()), [["a", "b"], [], None]),
        ([[1, None]], pa.large_list(pa.int64()), [["1", None]]),
        ([[{"role": "user", "n": 2}]], pa.list_(pa.struct({"role": pa.string(), "n": pa.int64()})), None),
        ([None], pa.null(), [None]),
    ],
    ids=str,
)
def test_values_are_spelled_in_the_one_way_of_their_type(tmp_path: Path, given, kind: pa.DataType, expected):
    assert read(tmp_path, pa.array(given, kind)) == (expected or [[{"role": "user", "n": "2"}]])


def test_values_of_a_dictionary_are_those_it_names(tmp_path: Path):
    assert read(tmp_path, pa.array(["warm", "cold", "warm"]).dictionary_encode()) == ["warm", "cold", "warm"]


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("ns"),
        pa.timestamp("us", "UTC"),
        pa.time64("us"),
        pa.duration("s"),
        pa.list_(pa.timestamp("ms")),
        pa.map_(pa.string(), pa.string()),
        # Half-precision numbers of polars, identifiers, and texts filled up with zeros look alike.
        pa.binary(2),
    ],
    ids=str,
)
def test_type_without_a_certain_spelling_is_refused_only_where_it_is_asked_for(tmp_path: Path, kind: pa.DataType):
    values = pa.array([None], kind)

    assert read(tmp_path, pa.array(["warm"]), seen=values) == ["warm"]
    with pytest.raises(DataError, match=r"the column 'label' has the type .*no certain form as a text"):
        read(tmp_path, values)


@pytest.mark.parametrize("kind", [pa.binary(), pa.string()], ids=str)
def test_bytes_that_are_not_utf8_are_refused_with_the_row(tmp_path: Path, kind: pa.DataType):
    values = pa.array([b"warm", b"\xff"], pa.binary())

    with pytest.raises(DataError, match="row 2, column 'label': 'utf-8' codec can't decode byte 0xff"):
        read(tmp_path, values.view(kind))


def test_date_that_python_cannot_write_is_refused_with_the_row(tmp_path: Path):
    with pytest.raises(DataError, match="row 2, column 'label': date value out of range"):
        read(tmp_path, pa.array([0, 9_000_000], pa.date32()))


def naming(names: object, kind: str = "ClassLabel") -> bytes:
    return json.dumps({"info": {"features": {"label": {"names": names, "_type": kind}}}}).encode()


def read_named(tmp_path: Path, label: pa.Array, metadata: bytes) -> list[object]:
    table = pa.table({"text": ["tea"] * len(label), "label": label}, metadata={b"huggingface": metadata})
    pq.write_table(table, tmp_path / "a.parquet")
    return [row[1] for _, row in read_rows(tmp_path / "a.parquet", ("text", "label"))]


def test_only_numbers_are_classes(tmp_path: Path):
    names = naming(["1", "2", "3"])

    assert read_named(tmp_path, pa.array([0, 2, -1, None]), names) == ["1", "3", "-1", None]
    assert read_named(tmp_path, pa.array([[2, 0]]), names) == [["3", "1"]]
    # Somebody has replaced the numbers by names and kept the metadata.
    assert read_named(tmp_path, pa.array(["1", "2"]), names) == ["1", "2"]


def test_class_without_a_name_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="row 2, column 'label': the class 3 has no name; .* the classes 0 to 2"):
        read_named(tmp_path, pa.array([0, 3]), naming(["1", "2", "3"]))


@pytest.mark.parametrize("stored", [b"[]", b"null", b'{"info": null}', naming(None), naming([7, 8]), naming(["a"], "")])
def test_metadata_that_name_no_classes_change_nothing(tmp_path: Path, stored: bytes):
    assert read_named(tmp_path, pa.array([0, 1]), stored) == ["0", "1"]


@pytest.mark.parametrize("stored", [b"{", b"\xff", b'{"info":' * 5000], ids=["cut", "not UTF-8", "deep"])
def test_metadata_that_cannot_be_read_are_refused(tmp_path: Path, stored: bytes):
    with pytest.raises(DataError, match="its metadata 'huggingface', which may name classes, is no JSON"):
        read_named(tmp_path, pa.array([0, 1]), stored)


def test_name_of_a_column_that_is_not_utf8_is_refused(tmp_path: Path):
    path = tmp_path / "a.parquet"
    read(tmp_path, pa.array(["warm"]), seen=pa.array([1]))
    path.write_bytes(path.read_bytes().replace(b"seen", b"s\xffen"))

    with pytest.raises(DataError, match="cannot be read as parquet: 'utf-8' codec"):
        list(read_rows(path, ("text", "label")))


def test_column_that_is_there_twice_or_not_at_all_is_refused(tmp_path: Path):
    path = tmp_path / "a.parquet"
    texts = pa.array(["tea"])
    pq.write_table(pa.Table.from_arrays([texts, texts, texts], ["text", "label", "label"]), path)

    with pytest.raises(DataError, match=r"the column 'label' is there 2 times \(2 and 3\)"):
        list(read_rows(path, ("text", "label")))
    with pytest.raises(RecipeError, match="no column 'tags'; its columns are 'text', 'label', 'label'"):
        list(read_rows(path, ("text", "tags")))


def test_file_without_rows_gives_none(tmp_path: Path):
    assert read(tmp_path, pa.array([], pa.string())) == []


def test_damaged_page_is_refused(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": ["lukewarm tea"]}), path, compression="none", use_dictionary=False, write_page_checksum=True
    )
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"lukewarm", b"lukewarn"))

    with pytest.raises(DataError, match="cannot be read as parquet: .*CRC"):
        list(read_rows(path, ("text",)))
