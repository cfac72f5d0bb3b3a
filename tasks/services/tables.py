"""Tables in the store: rows, tokens and answers as Parquet blobs."""

import io

import pandas as pd

from schemas.references import Blob, RowsRef
from tasks.services.store import Store

# More distinct labels are no names but texts of their own.
MAX_COUNTED = 1_000


def keep_table(store: Store, table: pd.DataFrame) -> Blob:
    """Keep a table; equal tables give equal bytes."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return store.put_bytes(buffer.getvalue())


def keep_rows(store: Store, rows: pd.DataFrame) -> RowsRef:
    """Keep rows with their counts; labels that are texts of their own are not counted."""
    blob = keep_table(store, rows)
    words = rows["label"].explode()
    counts = {str(label): int(count) for label, count in words.value_counts().sort_index().items()}
    if len(counts) > min(MAX_COUNTED, max(2, len(words) // 2)):
        counts = {}
    return RowsRef(digest=blob.digest, size_bytes=blob.size_bytes, num_rows=len(rows), label_counts=counts)


def read_table(store: Store, blob: Blob, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table back, checked against its digest."""
    return pd.read_parquet(store.fetch(blob), columns=columns)
