"""Tables in the store: rows, tokens and predictions as Parquet blobs."""

import io

import pandas as pd

from schemas.records.references import Blob, RowsRef
from tasks.services.storage.store import Store


def keep_table(store: Store, table: pd.DataFrame) -> Blob:
    """Store a table; equal tables give equal bytes."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return store.put_bytes(buffer.getvalue())


def keep_rows(store: Store, rows: pd.DataFrame) -> RowsRef:
    return RowsRef(**dict(keep_table(store, rows)), num_rows=len(rows))


def read_table(store: Store, blob: Blob, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table, verified against its digest; missing values of text columns are None."""
    table = pd.read_parquet(store.fetch(blob), columns=columns)
    for name in table.select_dtypes("str"):
        is_present = table[name].notna()
        if not is_present.all():
            table[name] = table[name].astype(object).where(is_present, None)
    return table
