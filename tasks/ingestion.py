"""Ingestion: source files become rows in the store, one Parquet file for train and one for test."""

from pathlib import Path

import pandas as pd

from schemas.errors import DataError
from schemas.recipe.data import Source
from schemas.records.references import SourceFiles, SourcesRef
from tasks.methods.rows import COLUMNS, are_names, content_id, hash_fractions, normalise_text
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.storage.store import file_digest
from tasks.services.storage.tables import keep_rows


def read_source(source: Source, files: SourceFiles) -> pd.DataFrame:
    """Read rows, normalise texts to NFC, compute ids from the content, take the recipe's fraction."""
    from tasks.methods.sources.table import SOURCES

    rows = SOURCES[source.kind](source, [Path(file.path) for file in files.files])
    for file in files.files:
        if file_digest(Path(file.path)) != file.digest:
            raise DataError(f"{file.path}: the file was changed while it was read. Run again when it is complete.")
    rows["text"] = pd.Series([normalise_text(text) for text in rows["text"]], dtype=object)
    rows["id"] = [content_id(text) for text in rows["text"]]
    return take_fraction(rows, source.fraction, source.seed)[list(COLUMNS)]


def take_fraction(rows: pd.DataFrame, fraction: float, seed: int) -> pd.DataFrame:
    """Take the same share of each label's rows, at least one, chosen by their content.

    If labels are lists or free texts, take the share of all rows.
    """
    if fraction == 1:
        return rows
    order = pd.Series(hash_fractions("fraction", rows["id"], seed), index=rows.index)
    texts = pd.Series([label if isinstance(label, str) else None for label in rows["label"]], dtype=object)
    names = texts.fillna("") if are_names(texts) else [""] * len(rows)
    groups = pd.Series(list(names), index=rows.index)
    ranks = order.groupby(groups).rank(method="first")
    sizes = groups.map(groups.value_counts())
    return rows[ranks <= (sizes * fraction).round().clip(lower=1)]


@cached_task("ingest")
def ingest_rows(train: Source, test: Source, train_files: SourceFiles, test_files: SourceFiles) -> SourcesRef:
    store = current_store()
    return SourcesRef.of(
        train=keep_rows(store, read_source(train, train_files)), test=keep_rows(store, read_source(test, test_files))
    )
