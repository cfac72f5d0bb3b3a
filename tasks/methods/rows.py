"""Rows as a table, and the hash that decides for a row by its content."""

import hashlib
import unicodedata

import numpy as np
import pandas as pd

COLUMNS = ("id", "file", "row", "text", "label")
# Where a row stood in which file is for messages; after validation it is no part of what the rows are.
CONTENT = ("id", "text", "label")

# More distinct labels than these are no names.
MAX_NAMES = 1_000

# A text is a string, or a list of words; a label is a string, or a list of strings.
Value = str | list[str] | None


def normalise_text(text: Value) -> Value:
    """Bring a text to Unicode's NFC, so that what looks equal is equal."""
    if isinstance(text, list):
        return [unicodedata.normalize("NFC", word) for word in text]
    return None if text is None else unicodedata.normalize("NFC", text)


def plain(value: Value) -> str | None:
    """A value as one string: words with a blank between them."""
    return value if value is None or isinstance(value, str) else " ".join(value)


def content_id(text: Value) -> str:
    """Name a row by its text: 32 hexadecimal digits."""
    return hashlib.sha256((plain(text) or "").encode()).hexdigest()[:32]


def are_names(labels: pd.Series) -> bool:
    """Whether labels are names that repeat, rather than texts of their own."""
    words = labels.explode()
    return int(words.nunique()) <= min(MAX_NAMES, max(2, len(words) // 2))


def hash_fractions(purpose: str, ids: pd.Series, seed: int) -> np.ndarray:
    """Give each id a number in [0, 1) that depends on purpose, id and seed only; shape (N,).

    Without the purpose the rows that one step chooses would be just those that another, with the same seed, leaves out.
    """
    digests = (hashlib.sha256(f"{purpose}:{seed}:{identity}".encode()).digest() for identity in ids)
    return np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
