"""Rows in the store, whatever the form of their values. Alone: pytest tests/tasks/services/storage/test_tables.py."""

import datetime
import hashlib
import io

import pandas as pd
import pytest

from schemas.records.references import Blob
from tasks.services.storage.tables import AS_JSON, keep_rows, read_table


class Memory:
    """Blobs in memory."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def put_bytes(self, content: bytes) -> Blob:
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return Blob(digest=digest, size_bytes=len(content))

    def fetch(self, blob: Blob) -> io.BytesIO:
        return io.BytesIO(self.blobs[blob.digest])


def keep(*texts: object) -> tuple[list[str], list[object]]:
    """Columns in the store, and the texts that are read again."""
    store = Memory()
    rows = pd.DataFrame({"id": map(str, range(len(texts))), "text": pd.Series(texts, dtype=object), "label": "a"})
    ref = keep_rows(store, rows)
    return list(pd.read_parquet(store.fetch(ref)).columns), list(read_table(store, ref)["text"])


@pytest.mark.parametrize(
    "texts",
    [
        (["one", "two"], "three", None),
        ({"content": "one"}, "two"),
        ([{"role": "user", "content": "one"}], [{"role": "user"}]),
        (["one", None], ["two"]),
        ([["one"], []], [[]]),
        ("one", True, 2, 3.5),
    ],
)
def test_values_of_any_form_are_read_as_they_were_stored(texts: tuple[object, ...]):
    columns, found = keep(*texts)

    assert columns == ["id", f"text{AS_JSON}", "label"]
    assert found == list(texts)


@pytest.mark.parametrize("texts", [("one", None, "two"), (["one"], [], None), (None, None)])
def test_texts_and_lists_of_texts_are_columns_of_parquet(texts: tuple[object, ...]):
    columns, found = keep(*texts)

    assert columns == ["id", "text", "label"]
    assert [None if value is None else value if isinstance(value, str) else list(value) for value in found] == list(
        texts
    )


def test_value_that_json_does_not_know_becomes_no_text():
    assert keep(datetime.date(2024, 1, 2), "one")[1] == [{"date": "2024-01-02"}, "one"]
