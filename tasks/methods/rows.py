"""Rows as a table, and hashes of their content."""

import hashlib
import unicodedata

import numpy as np
import pandas as pd

COLUMNS = ("id", "file", "row", "text", "label")
# File and row number serve messages; after validation they are not part of the rows' identity.
CONTENT = ("id", "text", "label")

# Labels with more distinct values are not names.
MAX_NAMES = 1_000

# A text is a string, or a list of words; a label is a string, or a list of strings.
Value = str | list[str] | None


def normalise_text(text: Value) -> Value:
    """Normalise a text to Unicode's NFC, so that texts that look equal are equal."""
    if isinstance(text, list):
        return [unicodedata.normalize("NFC", word) for word in text]
    return None if text is None else unicodedata.normalize("NFC", text)


def plain(value: Value) -> str | None:
    """Convert a value to one string; words are joined with blanks."""
    return value if value is None or isinstance(value, str) else " ".join(value)


def content_id(text: Value) -> str:
    """Compute the id of a row from its text: 32 hexadecimal digits."""
    return hashlib.sha256((plain(text) or "").encode()).hexdigest()[:32]


def are_names(labels: pd.Series) -> bool:
    """Whether labels are names, which repeat, rather than free texts."""
    words = labels.explode()
    return int(words.nunique()) <= min(MAX_NAMES, max(2, len(words) // 2))


def hash_fractions(purpose: str, ids: pd.Series, seed: int) -> np.ndarray:
    """Map each id to a number in [0, 1) that depends only on purpose, id and seed; shape (N,).

    Without the purpose, steps with the same seed would choose the same rows.
    """
    digests = (hashlib.sha256(f"{purpose}:{seed}:{identity}".encode()).digest() for identity in ids)
    return np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
