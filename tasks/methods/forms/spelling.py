"""Spellings of a label's name: labels are compared in NFC, booleans without case, whole numbers without decimals."""

import re
from collections import Counter
from functools import cache

from tasks.methods.rows import compose


def name_of(label: str, names: tuple[str, ...]) -> str:
    """Return the name that a label spells, or the label itself if it spells none or several."""
    composed = compose(label)
    exact, usual = _names_by_spelling(names)
    return exact.get(composed) or usual.get(usual_spelling(composed)) or label


def usual_spelling(label: str) -> str:
    """Write a boolean as in JSON, and a whole number without decimals, as tables write them in other types."""
    if label.lower() in ("true", "false"):
        return label.lower()
    whole = re.fullmatch(r"(-?\d+)\.0+", label)
    return whole[1] if whole else label


@cache
def _names_by_spelling(names: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Return names by their NFC, and by their usual spelling where it is that of one name only."""
    usual = {name: usual_spelling(compose(name)) for name in names}
    counts = Counter(usual.values())
    return {compose(name): name for name in names}, {
        spelling: name for name, spelling in usual.items() if counts[spelling] == 1
    }
