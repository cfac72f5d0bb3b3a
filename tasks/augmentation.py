"""Augmentation: altered copies of training rows only; copies that read like a held-out text are dropped."""

import pandas as pd

from schemas.recipe.augmentation import Augmenter
from schemas.recipe.contract import Difference
from schemas.records.references import RowsRef
from tasks.methods.rows import match_of
from tasks.services.cache.records import cached_task
from tasks.services.local.object_store import current_store
from tasks.services.storage.tables import keep_rows, read_table


def augment(
    rows: pd.DataFrame, augmenters: tuple[Augmenter, ...], held_out: pd.Series, ignore: tuple[Difference, ...] = ()
) -> pd.DataFrame:
    """Append each augmenter's copies in turn; a copy that is alike to one of the held-out texts is dropped."""
    from tasks.methods.augmenters.table import AUGMENTERS

    matches = {match_of(text, ignore) for text in held_out}
    for augmenter in augmenters:
        copies = AUGMENTERS[augmenter.kind](augmenter, rows)
        is_held_out = copies["text"].map(lambda text: match_of(text, ignore) in matches).astype(bool)
        rows = pd.concat([rows, copies[~is_held_out]], ignore_index=True)
    return rows


@cached_task("augment")
def augment_rows(
    rows: RowsRef,
    held_out: tuple[RowsRef, ...],
    augmenters: tuple[Augmenter, ...],
    ignore: tuple[Difference, ...] | None = None,
) -> RowsRef:
    if not augmenters:
        return rows
    store = current_store()
    texts = pd.concat([read_table(store, ref)["text"] for ref in held_out])
    return keep_rows(store, augment(read_table(store, rows), augmenters, texts, ignore or ()))
