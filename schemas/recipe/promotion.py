"""Promotion of a passing candidate."""

from pydantic import Field

from schemas.frozen import Frozen, Name


class Promotion(Frozen):
    model: Name = Field(description="The model's name in the registry.")
    alias: Name = Field("champion", description="The alias that services use.")
    approval: bool = Field(False, description="A passing candidate waits for `tunegate approve`.")
