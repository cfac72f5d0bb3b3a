"""Training settings, and the losses."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from schemas.frozen import LARGEST, Frozen

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
    """Cross-entropy with less weight on confident predictions."""

    kind: Literal["focal"] = "focal"
    gamma: float = Field(2.0, ge=0, le=5, description="Focusing parameter; 0 is cross-entropy.")
    class_weights: ClassWeights = "none"


Loss = Annotated[CrossEntropy | Focal, Field(discriminator="kind")]


class EarlyStopping(Frozen):
    patience: int = Field(
        2, ge=1, le=LARGEST, description="Evaluations without a better validation loss before training stops."
    )


class Training(Frozen):
    """Training settings; the best checkpoint by validation loss is kept."""

    epochs: int = Field(2, ge=1, le=1000, description="Passes over the training rows.")
    batch_size: int = Field(32, ge=1, le=4096, description="Rows per optimizer step.")
    micro_batch_tokens: int | None = Field(
        None,
        ge=1,
        le=LARGEST,
        title="Micro-batch tokens",
        description="Positions computed at once; gradients add up to those of the whole batch. None: as memory allows.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Type of the activations; auto: half precision on an accelerator, fp32 on a CPU."
    )
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass: less memory, a third more time."
    )
    compile: bool = Field(False, description="Compile the model with torch.compile; pays in long trainings only.")
    learning_rate: float | None = Field(
        None, gt=0, le=1, title="Learning rate", description="Peak rate; null: the default of the tuning."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="Decay of the rate after warm-up.")
    warmup_fraction: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the rate rises.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="AdamW's decay; none on biases and norms.")
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        title="Dropout",
        description="Every dropout probability of the model; null: those of its configuration.",
    )
    loss: Loss = Field(CrossEntropy(), description="Loss on training and validation rows.")
    evaluations_per_epoch: int = Field(2, ge=1, le=100, description="Evaluations of the validation loss per epoch.")
    early_stopping: EarlyStopping | None = Field(
        EarlyStopping(), title="Early stopping", description="Stopping before the last epoch; null: never."
    )
    average_best: int = Field(
        1,
        ge=1,
        le=100,
        description="Number of best checkpoints to average, if that lowers the validation loss.",
    )
    seeds: tuple[Annotated[int, Field(strict=True, ge=0, lt=2**32)], ...] = Field(
        (0,),
        min_length=1,
        max_length=50,
        description="Seeds of head, order and dropout. Each trains a model; validation rows choose the best.",
    )

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed that is named twice would give the same model twice")
        return seeds
