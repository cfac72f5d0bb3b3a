"""Tracking of runs."""

from pydantic import Field

from schemas.frozen import Frozen, Name


class Tracking(Frozen):
    project: Name = Field("tunegate", description="Weights & Biases project.")
