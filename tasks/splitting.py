"""Split: validation rows are split off the training rows by a hash of the text, so no text is on both sides."""

import pandas as pd

from schemas.errors import DataError
from schemas.recipe.data import HashSplit
from schemas.records.references import RowsRef, SplitRef
from tasks.methods.rows import hash_fractions
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.storage.tables import keep_rows, read_table


def split_by_hash(rows: pd.DataFrame, split: HashSplit) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return training and validation rows. Raises DataError when one side would be empty."""
    is_validation = hash_fractions("split", rows["id"], split.seed) < split.validation_fraction
    train, validation = rows[~is_validation], rows[is_validation]
    if train.empty or validation.empty:
        raise DataError(
            f"data.split: {len(rows)} rows with validation_fraction {split.validation_fraction} leave {len(train)} "
            f"training and {len(validation)} validation rows; both need one. Add rows, or change fraction or seed."
        )
    return train, validation


@cached_task("split")
def split_rows(rows: RowsRef, split: HashSplit) -> SplitRef:
    store = current_store()
    train, validation = split_by_hash(read_table(store, rows), split)
    return SplitRef.of(train=keep_rows(store, train), validation=keep_rows(store, validation))
