"""Which weights are trained. Rates without a paper were chosen on the validation rows of recipes/tweets.

`DEFAULT_RATE` is the peak learning rate where the recipe names none; `Recipe.trainings` puts it into the training's
key. benchmarks/rates.py chooses rates.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.frozen import Frozen


class Method(Frozen):
    """A way of tuning, with what a recipe is checked by; steps know it by its row of TUNERS.

    suits_encoder_decoder: whether it can tune a model that has an encoder and a decoder
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
        description="What each block's rate is of the rate of the block above it; 1: all learn at the same rate. "
        "0.95 in Sun et al. 2019.",
    )


class LoRA(Method):
    """Train a product of two thin matrices beside each linear map."""

    DEFAULT_RATE: ClassVar[float] = 1e-3

    kind: Literal["lora"] = "lora"
    rank: int = Field(4, ge=1, le=1024, description="Inner width of the product (Hu et al. 2021, section 7.2).")
    alpha: int = Field(16, ge=1, description="The product counts alpha / rank times.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Share of its inputs that training leaves out.")
    targets: Literal["all-linear", "attention"] = Field(
        "all-linear", description="Linear maps beside which it stands: all of the blocks, or those of attention."
    )
    merge: bool = Field(False, description="Add the products to the weights and keep a whole model.")


class BottleneckAdapters(Method):
    """Train small networks inside each block. Rate: the highest one tried by Houlsby et al. 2019, section 3.2."""

    DEFAULT_RATE: ClassVar[float] = 3e-3

    kind: Literal["adapter"] = "adapter"
    layout: Literal["houlsby", "pfeiffer"] = Field(
        "pfeiffer", description="houlsby: after attention and after feed-forward; pfeiffer: after feed-forward only."
    )
    reduction: int = Field(
        16, ge=1, le=1024, description="The block's width over the adapter's (Pfeiffer et al. 2021)."
    )
    initial_std: float = Field(
        0.01, gt=0, le=1, description="Of an adapter's weights at the beginning (Houlsby et al. 2019, section 3.6)."
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
    num_layers: int = Field(2, ge=1, le=256, description="How many of the last transformer blocks are trained.")


Tuning = Annotated[
    FullTuning | LoRA | BottleneckAdapters | PrefixTuning | PromptTuning | TopLayers, Field(discriminator="kind")
]
