"""Augmentation of English texts with synonyms of adjectives and adverbs.

`synonyms_en.tsv` is an extract of WordNet 3.0: single words that are only adjectives or only adverbs, with at most five
synonyms of the same part of speech; without a parser, other words would be replaced in the wrong sense.
Source: Zhang, Zhao, LeCun 2015 (arXiv:1509.01626), section 2.4; WordNet, https://wordnet.princeton.edu.
"""

import random
import re
from functools import cache
from pathlib import Path

import pandas as pd

from schemas.recipe.augmentation import Synonyms
from tasks.methods.rows import content_id, hash_fractions

WORD = re.compile(r"[A-Za-z]+")


def alter_rows(augmenter: Synonyms, rows: pd.DataFrame) -> pd.DataFrame:
    """Return altered copies of about `fraction` of the rows, chosen by their content and not their order.

    Rows without a replaceable word have no copy.
    """
    is_chosen = hash_fractions("synonyms", rows["id"], augmenter.seed) < augmenter.fraction
    copies = rows[is_chosen].copy()
    copies["text"] = [replace_words(text, f"{augmenter.seed}:{text}") for text in copies["text"]]
    copies["id"] = [content_id(text) for text in copies["text"]]
    return copies[~copies["id"].isin(rows["id"])]


def replace_words(text: str, seed: str) -> str:
    """Replace every known word by one of its synonyms, keeping a capital first letter."""
    choose = random.Random(seed)

    def replace(match: re.Match[str]) -> str:
        word = match.group()
        options = _synonyms().get(word.lower())
        if not options:
            return word
        found = choose.choice(options)
        return found.capitalize() if word[0].isupper() else found

    return WORD.sub(replace, text)


@cache
def _synonyms() -> dict[str, list[str]]:
    lines = (Path(__file__).parent / "synonyms_en.tsv").read_text(encoding="utf-8").splitlines()
    return {word: options.split(" ") for word, options in (line.split("\t") for line in lines)}
