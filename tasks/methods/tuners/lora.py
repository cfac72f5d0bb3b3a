"""LoRA: a trained product of two thin matrices beside each frozen linear map. Source: Hu et al. 2021, arXiv:2106.09685.

The second matrix is initialised to zero, so training starts from the pretrained model.
"""

from typing import Any

from transformers.pytorch_utils import Conv1D

from schemas.errors import RecipeError
from schemas.recipe.tuning import LoRA
from tasks.methods.tuners.layers import find_blocks, find_projections, train_head_only
from tasks.methods.tuners.tuner import TunerMethods


def insert_products(tuning: LoRA, model: Any) -> Any:
    """Insert the products into the model's blocks; only they and the head are trained."""
    # Imported here because it takes seconds, which other tuning methods need not wait for.
    from peft import LoraConfig, inject_adapter_in_model

    head = [name for name, weight in train_head_only(model).named_parameters() if weight.requires_grad]
    targets = [
        f"{name}.{projection}"
        for name, block in find_blocks(model)
        for part, projections in find_projections(block).items()
        for projection in projections
        if part or tuning.targets == "all-linear"
    ]
    if not targets:
        raise RecipeError(
            f"{type(model).__name__} has no linear maps that tuning.targets {tuning.targets!r} names. "
            "Use all-linear, or tuning.kind full."
        )
    settings = LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        target_modules=targets,
        # The weight of a Conv1D is transposed; otherwise peft detects it with a warning.
        fan_in_fan_out=isinstance(model.get_submodule(targets[0]), Conv1D),
    )
    model = inject_adapter_in_model(settings, model)
    for name in head:
        model.get_parameter(name).requires_grad_(True)
    return model


def merge_products(tuning: LoRA, model: Any) -> Any | None:
    """With `merge`, add the products to the frozen weights, which restores the plain architecture."""
    if not tuning.merge:
        return None
    from peft.tuners.lora import LoraLayer

    for name, layer in [(name, found) for name, found in model.named_modules() if isinstance(found, LoraLayer)]:
        layer.merge()
        model.set_submodule(name, layer.get_base_layer())
    return model


METHODS = TunerMethods(mark=insert_products, whole=merge_products)
