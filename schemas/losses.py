"""What training lowers."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.frozen import Frozen

ClassWeights = Annotated[
    Literal["none", "balanced"],
    Field(description="balanced: a class counts in inverse proportion to its share of the training items."),
]


class CrossEntropy(Frozen):
    """The negative log-probability of the true class."""

    kind: Literal["cross-entropy"] = "cross-entropy"
    label_smoothing: float = Field(
        0.0, ge=0, le=0.5, description="Share of the target that is spread evenly over the classes."
    )
    class_weights: ClassWeights = "none"


class Focal(Frozen):
    """Cross-entropy that counts less what the model is already sure of."""

    kind: Literal["focal"] = "focal"
    gamma: float = Field(2.0, ge=0, le=5, description="How fast a sure answer loses weight; 0 is cross-entropy.")
    class_weights: ClassWeights = "none"


Loss = Annotated[CrossEntropy | Focal, Field(discriminator="kind")]
