"""The baselines without tuning, by their names in gate.guard_rails."""

from collections.abc import Callable

import pandas as pd

from tasks.methods.baselines import entities, majority, tfidf

BASELINES: dict[str, Callable[[pd.DataFrame, pd.DataFrame, tuple[str, ...]], pd.DataFrame]] = {
    "commonest": majority.answer_alike,
    "words": tfidf.answer_by_words,
    "entities": entities.answer_by_dictionary,
}
