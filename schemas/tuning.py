"""Which weights are trained."""

from typing import Literal

from pydantic import Field

from schemas.frozen import Frozen


class FullTuning(Frozen):
    """Train every weight."""

    kind: Literal["full"] = "full"
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="What each block's rate is of the rate of the block above it; 1: all learn at the same rate. "
        "0.95 in Sun et al. 2019.",
    )


Tuning = FullTuning
