"""Answers that need no tuning, by the name that a gate's guard rails have for them."""

from collections.abc import Callable

import pandas as pd

from tasks.methods.baselines import commonest, entities, words

BASELINES: dict[str, Callable[[pd.DataFrame, pd.DataFrame, tuple[str, ...]], pd.DataFrame]] = {
    "commonest": commonest.answer_alike,
    "words": words.answer_by_words,
    "entities": entities.answer_by_dictionary,
}
