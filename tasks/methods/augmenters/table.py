"""The augmenters: (part of the recipe, rows) -> the rows to add."""

from tasks.methods.augmenters import synonyms

AUGMENTERS = {
    "synonyms": synonyms.alter_rows,
}
