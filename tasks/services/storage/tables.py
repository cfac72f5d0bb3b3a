"""Tables in the store: rows, tokens and answers as Parquet blobs."""

import io

import pandas as pd

from schemas.records.references import Blob, RowsRef
from tasks.services.storage.store import Store


def keep_table(store: Store, table: pd.DataFrame) -> Blob:
    """Keep a table; equal tables give equal bytes."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return store.put_bytes(buffer.getvalue())


def keep_rows(store: Store, rows: pd.DataFrame) -> RowsRef:
    """Keep rows with their number."""
    blob = keep_table(store, rows)
    return RowsRef(digest=blob.digest, size_bytes=blob.size_bytes, num_rows=len(rows))


def read_table(store: Store, blob: Blob, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table back, checked against its digest; what is missing in a column of texts is None again."""
    table = pd.read_parquet(store.fetch(blob), columns=columns)
    for name in table.select_dtypes("str"):
        is_there = table[name].notna()
        if not is_there.all():
            table[name] = table[name].astype(object).where(is_there, None)
    return table
