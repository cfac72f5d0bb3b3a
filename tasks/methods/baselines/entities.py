"""Dictionary baseline: the entities of the training rows, ignoring case; the longest matching entry is tagged.

Source: the baseline of CoNLL-2003's shared task (Tjong Kim Sang and De Meulder 2003, section 4), which leaves out
entries of several types; here such an entry gets its most frequent type.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import pandas as pd
from seqeval.metrics.sequence_labeling import get_entities


def answer_by_dictionary(train: pd.DataFrame, test: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    """Learn from rows (words, IOB2 tags) and predict the tags of test rows, separated by blanks, with the truth."""
    types: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for words, tags in zip(train["text"], train["label"], strict=True):
        folded = _fold(words)
        for kind, first, last in get_entities(list(tags)):
            types[folded[first : last + 1]][kind] += 1
    entries = {entity: counts.most_common(1)[0][0] for entity, counts in types.items()}
    longest = max(map(len, entries), default=0)
    answers = [" ".join(_mark(_fold(words), entries, longest)) for words in test["text"]]
    return pd.DataFrame({"id": test["id"], "answer": answers, "truth": [" ".join(tags) for tags in test["label"]]})


def _mark(words: tuple[str, ...], entries: dict[tuple[str, ...], str], longest: int) -> list[str]:
    tags: list[str] = []
    while len(tags) < len(words):
        first = len(tags)
        found = (words[first : first + length] for length in range(longest, 0, -1))
        entity = next((piece for piece in found if piece in entries), None)
        tags += [f"{prefix}-{entries[entity]}" for prefix in ["B", *"I" * (len(entity) - 1)]] if entity else ["O"]
    return tags


def _fold(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word.casefold() for word in words)
