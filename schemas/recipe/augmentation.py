"""Augmentation of training rows."""

from typing import Literal

from pydantic import Field

from schemas.frozen import Frozen, Seed


class Synonyms(Frozen):
    """Copies of some training rows with WordNet synonyms of English adjectives and adverbs."""

    kind: Literal["synonyms"] = "synonyms"
    fraction: float = Field(0.1, gt=0, le=1, description="Share of training rows that get one altered copy.")
    seed: Seed = Field(0, description="Seed of the choice of rows and words.")


Augmenter = Synonyms
