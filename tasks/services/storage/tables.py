"""Tables in the store: rows, tokens and predictions as Parquet blobs."""

import io
import json
from typing import Any

import numpy as np
import pandas as pd

from schemas.records.references import Blob, RowsRef
from tasks.services.storage.store import Store

# Ending of a column of rows whose values are JSON: a column of Parquet cannot hold texts beside lists, or objects.
AS_JSON = ":json"


def keep_table(store: Store, table: pd.DataFrame) -> Blob:
    """Store a table; equal tables give equal bytes."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return store.put_bytes(buffer.getvalue())


def keep_rows(store: Store, rows: pd.DataFrame) -> RowsRef:
    """Store rows; texts and labels may have any form, such as objects, or lists in some rows only."""
    mixed = [name for name in ("text", "label") if name in rows and not _is_of_one_form(list(rows[name]))]
    packed = rows.assign(**{name: [_to_json(value) for value in rows[name]] for name in mixed})
    packed = packed.rename(columns={name: name + AS_JSON for name in mixed})
    return RowsRef(**dict(keep_table(store, packed)), num_rows=len(rows))


def _is_of_one_form(values: list[Any]) -> bool:
    """Whether all values are strings, or all are lists of strings; None fits both."""
    forms = {_form_of(value) for value in values if value is not None}
    return forms in (set(), {"text"}, {"list"})


def _form_of(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    is_list = isinstance(value, list | np.ndarray) and all(isinstance(item, str) for item in value)
    return "list" if is_list else "other"


def _to_json(value: Any) -> str:
    # A value that JSON does not know stays one that is no text.
    return json.dumps(value, ensure_ascii=False, default=lambda other: {type(other).__name__: str(other)})


def read_table(store: Store, blob: Blob, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table, verified against its digest; missing values of text columns are None."""
    table = pd.read_parquet(store.fetch(blob), columns=columns)
    for name in [name for name in table if str(name).endswith(AS_JSON)]:
        table[name] = pd.Series([json.loads(value) for value in table[name]], index=table.index, dtype=object)
    table = table.rename(columns=lambda name: str(name).removesuffix(AS_JSON))
    for name in table.select_dtypes("str"):
        is_present = table[name].notna()
        if not is_present.all():
            table[name] = table[name].astype(object).where(is_present, None)
    return table
