"""What training starts from, how rows are multiplied, and how weights are trained."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from schemas.frozen import Digest, Frozen
from schemas.losses import CrossEntropy, Loss


class Synonyms(Frozen):
    """Replace English adjectives and adverbs by WordNet synonyms in a copy of some training rows."""

    kind: Literal["synonyms"] = "synonyms"
    fraction: float = Field(0.1, gt=0, le=1, description="Share of training rows that get one altered copy.")
    seed: int = Field(0, ge=0, description="Decides rows and words.")


Augmenter = Synonyms


def _base_form(base: str) -> str:
    if base.startswith(("/", "~", "file:")):
        raise ValueError("an absolute path works on one machine only: give ./folder relative to the recipe's file")
    return base


class Model(Frozen):
    """The pretrained model to start from."""

    base: Annotated[str, Field(min_length=1), AfterValidator(_base_form)] = Field(
        description="package:NAME/FOLDER (inside an installed package), ./FOLDER beside the recipe, "
        "NAME@ALIAS or NAME@VERSION of the registry, or the id of a model on the hub (with revision)."
    )
    revision: str | None = Field(None, title="Revision", description="Commit or tag; a hub id needs one.")
    sha256: Digest | None = Field(None, title="SHA-256", description="What model.safetensors must hash to.")
    licences: tuple[str, ...] = Field(
        min_length=1, description="Licences you accept, as the model's card writes them; 'unknown' if it says none."
    )

    @model_validator(mode="after")
    def _only_the_hub_has_revisions(self) -> Self:
        if self.revision and (self.base.startswith((".", "package:")) or "@" in self.base):
            raise ValueError(f"base {self.base!r} has no revision: leave revision out, or set it to null")
        return self


class EarlyStopping(Frozen):
    patience: int = Field(2, ge=1, description="Evaluations without a better validation loss before training stops.")


class Training(Frozen):
    """How the weights are trained; the best checkpoint by validation loss is kept."""

    epochs: int = Field(2, ge=1, le=1000, description="Passes over the training rows.")
    batch_size: int = Field(32, ge=1, le=4096, description="Rows an optimizer step sees.")
    micro_batch_tokens: int | None = Field(
        None,
        ge=1,
        title="Micro-batch tokens",
        description="Positions computed at once; gradients add up to those of the whole batch. None: as memory allows.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Type of the activations; auto: half precision on an accelerator, fp32 on a CPU."
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations again instead of keeping them: less memory, a third more time."
    )
    compile: bool = Field(False, description="Compile the model with torch.compile; pays in long trainings only.")
    learning_rate: float | None = Field(
        None, gt=0, le=1, title="Learning rate", description="Peak rate; each tuning has a default of its own."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="How the rate falls after warm-up.")
    warmup_fraction: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the rate rises.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="AdamW's decay; none on biases and norms.")
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        title="Dropout",
        description="Every dropout probability of the model; null: as it says itself.",
    )
    loss: Loss = Field(CrossEntropy(), description="What is lowered, on training rows and on validation rows.")
    evaluations_per_epoch: int = Field(2, ge=1, le=100, description="How often the validation loss is measured.")
    early_stopping: EarlyStopping | None = Field(
        EarlyStopping(), title="Early stopping", description="When to stop before the last epoch; null: never."
    )
    average_best: int = Field(
        1,
        ge=1,
        le=100,
        description="Weights of so many of the best checkpoints are averaged, if that lowers the validation loss.",
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(
        (0,),
        min_length=1,
        max_length=50,
        description="Of head, order and dropout. With several, each trains a model and validation rows choose one.",
    )

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed that is named twice would give the same model twice")
        return seeds
