"""Tuning of the last blocks only. Source: Lee, Tang, Lin 2019, arXiv:1911.03090."""

from typing import Any

from schemas.errors import RecipeError
from schemas.recipe.tuning import TopLayers
from tasks.methods.tuners.layers import find_blocks, train_head_only
from tasks.methods.tuners.tuner import TunerMethods


def mark_top(tuning: TopLayers, model: Any) -> Any:
    """Train the last blocks and the head; embeddings, lower blocks and the final norm are frozen."""
    blocks = find_blocks(model)
    if tuning.num_layers > len(blocks):
        raise RecipeError(f"tuning.num_layers is {tuning.num_layers}, but the model has {len(blocks)} blocks.")
    train_head_only(model)
    for _, block in blocks[-tuning.num_layers :]:
        block.requires_grad_(True)
    return model


METHODS = TunerMethods(mark=mark_top)
