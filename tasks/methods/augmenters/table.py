"""Every augmenter: (its recipe part, rows) -> the rows to add."""

from tasks.methods.augmenters import synonyms

AUGMENTERS = {
    "synonyms": synonyms.alter_rows,
}
