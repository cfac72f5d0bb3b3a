"""Which weights are trained."""

from typing import Literal

from schemas.frozen import Frozen


class FullTuning(Frozen):
    """Train every weight."""

    kind: Literal["full"] = "full"


Tuning = FullTuning
