"""Tuning methods. Rates without a paper were chosen on the validation rows of recipes/tweets.

`DEFAULT_RATE` is the default peak learning rate; `Recipe.trainings` puts it into the training's key.
benchmarks/rates.py chooses rates.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.frozen import LARGEST, Frozen


class Method(Frozen):
    """A tuning method, with properties by which recipes are checked; TUNERS holds its implementation.

    suits_encoder_decoder: whether it can tune an encoder-decoder
    """

    DEFAULT_RATE: ClassVar[float]
    suits_encoder_decoder: ClassVar[bool] = True


class FullTuning(Method):
    """Train every weight. Rate: 2e-5 to 5e-5 (Devlin et al. 2019, A.3)."""

    DEFAULT_RATE: ClassVar[float] = 5e-5

    kind: Literal["full"] = "full"
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Ratio of each block's rate to that of the block above it; 1: the same rate for all. "
        "0.95 in Sun et al. 2019.",
    )


class LoRA(Method):
    """Train a product of two thin matrices beside each linear map."""

    DEFAULT_RATE: ClassVar[float] = 1e-3

    kind: Literal["lora"] = "lora"
    rank: int = Field(4, ge=1, le=1024, description="Inner width of the product (Hu et al. 2021, section 7.2).")
    alpha: int = Field(16, ge=1, le=LARGEST, description="The product is scaled by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout probability of its inputs.")
    targets: Literal["all-linear", "attention"] = Field(
        "all-linear", description="Adapted linear maps: all of the blocks, or those of attention."
    )
    merge: bool = Field(False, description="Add the products to the weights and store a whole model.")


class BottleneckAdapters(Method):
    """Train small networks inside each block. Rate: the highest one tried by Houlsby et al. 2019, section 3.2."""

    DEFAULT_RATE: ClassVar[float] = 3e-3

    kind: Literal["adapter"] = "adapter"
    layout: Literal["houlsby", "pfeiffer"] = Field(
        "pfeiffer", description="houlsby: after attention and after feed-forward; pfeiffer: after feed-forward only."
    )
    reduction: int = Field(
        16, ge=1, le=1024, description="Ratio of the block's width to the adapter's (Pfeiffer et al. 2021)."
    )
    initial_std: float = Field(
        0.01,
        gt=0,
        le=1,
        description="Initial standard deviation of an adapter's weights (Houlsby et al. 2019, section 3.6).",
    )


class PrefixTuning(Method):
    """Train keys and values that every attention sees before the text's."""

    DEFAULT_RATE: ClassVar[float] = 3e-2
    suits_encoder_decoder: ClassVar[bool] = False

    kind: Literal["prefix"] = "prefix"
    num_tokens: int = Field(16, ge=1, le=512, description="Length of the prefix.")


class PromptTuning(Method):
    """Train embeddings that stand before the text's."""

    DEFAULT_RATE: ClassVar[float] = 1e-1

    kind: Literal["prompt"] = "prompt"
    num_tokens: int = Field(20, ge=1, le=512, description="Length of the prompt (Lester et al. 2021, section 3.2).")


class TopLayers(Method):
    """Train the last blocks and the head. Rate: as for full tuning; the same weights learn."""

    DEFAULT_RATE: ClassVar[float] = 5e-5

    kind: Literal["top"] = "top"
    num_layers: int = Field(2, ge=1, le=256, description="Number of last transformer blocks to train.")


Tuning = Annotated[
    FullTuning | LoRA | BottleneckAdapters | PrefixTuning | PromptTuning | TopLayers, Field(discriminator="kind")
]
