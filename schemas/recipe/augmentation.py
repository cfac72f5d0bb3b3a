"""How training rows are multiplied."""

from typing import Literal

from pydantic import Field

from schemas.frozen import Frozen


class Synonyms(Frozen):
    """Replace English adjectives and adverbs by WordNet synonyms in a copy of some training rows."""

    kind: Literal["synonyms"] = "synonyms"
    fraction: float = Field(0.1, gt=0, le=1, description="Share of training rows that get one altered copy.")
    seed: int = Field(0, ge=0, description="Decides rows and words.")


Augmenter = Synonyms
