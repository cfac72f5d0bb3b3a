"""By problem, the answers that need no tuning; a tuned model must beat the last of them."""

from collections.abc import Callable

import pandas as pd

from tasks.methods.baselines import commonest, entities, words

Baseline = Callable[[pd.DataFrame, pd.DataFrame, tuple[str, ...]], pd.DataFrame]

BASELINES: dict[str, dict[str, Baseline]] = {
    "text-classification": {commonest.NAME: commonest.answer_alike, words.NAME: words.answer_by_words},
    "token-classification": {entities.NAME: entities.answer_by_dictionary},
}
