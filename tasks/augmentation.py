"""Augmentation: altered copies of training rows only; copies that equal a held-out text are dropped."""

import pandas as pd

from schemas.recipe.augmentation import Augmenter
from schemas.records.references import RowsRef
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.storage.tables import keep_rows, read_table


def augment(rows: pd.DataFrame, augmenters: tuple[Augmenter, ...], held_out_ids: set[str]) -> pd.DataFrame:
    """Append each augmenter's copies in turn; a copy that equals a held-out text is dropped."""
    from tasks.methods.augmenters.table import AUGMENTERS

    for augmenter in augmenters:
        copies = AUGMENTERS[augmenter.kind](augmenter, rows)
        rows = pd.concat([rows, copies[~copies["id"].isin(held_out_ids)]], ignore_index=True)
    return rows


@cached_task("augment")
def augment_rows(rows: RowsRef, held_out: tuple[RowsRef, ...], augmenters: tuple[Augmenter, ...]) -> RowsRef:
    store = current_store()
    ids = {identity for ref in held_out for identity in read_table(store, ref, columns=["id"])["id"]}
    return keep_rows(store, augment(read_table(store, rows), augmenters, ids))
