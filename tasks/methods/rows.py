"""Rows as a table, and hashes of their content."""

import hashlib
import json
import re
import unicodedata
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ("id", "file", "row", "text", "label")
# File and row number serve messages; after validation they are not part of the rows' identity.
CONTENT = ("id", "text", "label")

# Labels with more distinct values are not names.
MAX_NAMES = 1_000

# A text is a string, or a list of words; a label is a string, or a list of strings.
Value = str | list[str] | None

LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
# Blanks that take no room: zero width space, word joiner, byte order mark.
ZERO_WIDTH = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))


def compose(text: str) -> str:
    """Normalise a string to Unicode's NFC, so that strings that look equal are equal."""
    return unicodedata.normalize("NFC", text)


def normalise_text(text: Any) -> Any:
    """Normalise a text or its words to NFC; values that are no texts stay as they are."""
    if isinstance(text, list):
        return [normalise_text(word) for word in text]
    return compose(text) if isinstance(text, str) else text


def plain(value: Any) -> str | None:
    """Convert a value to one string; words are joined with blanks, other values become JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | np.ndarray):
        return " ".join(plain(item) or "" for item in value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def content_id(text: Any) -> str:
    """Compute the id of a row from its text: 32 hexadecimal digits."""
    return hashlib.sha256((plain(text) or "").encode()).hexdigest()[:32]


def alike(text: Any, ignore: tuple[str, ...] = ()) -> str:
    """Write a text as rows are compared by it: in NFC, with single blanks for line ends and repeated or other blanks.

    ignore: case, links (each link becomes the same one)
    """
    same = " ".join(compose(plain(text) or "").translate(ZERO_WIDTH).split())
    same = LINK.sub("https://", same) if "links" in ignore else same
    return compose(same.casefold()) if "case" in ignore else same


def match_of(text: Any, ignore: tuple[str, ...] = ()) -> str | None:
    """Compute the digest that texts share if they are alike; a blank text has none."""
    same = alike(text, ignore)
    return hashlib.sha256(same.encode()).hexdigest() if same else None


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
