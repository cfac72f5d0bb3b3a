"""Bottleneck adapters: small trained networks after the sub-layers of each frozen block.

Legend of shapes: B rows, T tokens, D width of the block.
Sources: Houlsby et al. 2019, arXiv:1902.00751, whose layout also trains the norms of the blocks; Pfeiffer et al. 2021,
arXiv:2005.00247. Both stand between a sub-layer's projection and its residual sum, where Houlsby et al. put them.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, relu

from schemas.errors import RecipeError
from schemas.recipe.tuning import BottleneckAdapters
from tasks.methods.tuners.layers import find_blocks, find_projections, train_head_only
from tasks.methods.tuners.tuner import TunerMethods


class Adapter(nn.Module):
    """h + up(f(down(h))), initialised close to the identity."""

    def __init__(self, width: int, tuning: BottleneckAdapters) -> None:
        super().__init__()
        self.down = nn.Linear(width, max(1, width // tuning.reduction))
        self.up = nn.Linear(self.down.out_features, width)
        self.activation = gelu if tuning.layout == "houlsby" else relu
        for layer in (self.down, self.up):
            std = tuning.initial_std
            # Truncated at two standard deviations, as in section 3.6 of Houlsby et al.
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            nn.init.zeros_(layer.bias)

    def forward(self, h_BTD: Tensor) -> Tensor:
        correction_BTD: Tensor = self.up(self.activation(self.down(h_BTD)))
        return h_BTD + correction_BTD


def insert_adapters(tuning: BottleneckAdapters, model: Any) -> Any:
    """Insert adapters into the model's blocks; only they and the head are trained (in Houlsby's layout also norms)."""
    train_head_only(model)
    for name, block in find_blocks(model):
        last = {part: projections[-1] for part, projections in find_projections(block).items()}
        chosen = last if tuning.layout == "houlsby" else {part: found for part, found in last.items() if not part}
        if "" not in last or len(last) == 1:
            raise RecipeError(
                f"{type(model).__name__}: adapters go after attention and feed-forward, and {name} does not have "
                "both as linear maps. Use tuning.kind lora or full."
            )
        for projection in chosen.values():
            _insert(tuning, block.get_submodule(projection))
        for module in block.modules() if tuning.layout == "houlsby" else ():
            if "norm" in type(module).__name__.lower():
                module.requires_grad_(True)
    return model


def _insert(tuning: BottleneckAdapters, projection: Any) -> None:
    # A Conv1D of transformers has a transposed weight, and nf outputs.
    width = projection.out_features if isinstance(projection, nn.Linear) else projection.nf
    # The projection is not replaced: some architectures, such as T5, read its weight.
    projection.adapter = Adapter(width, tuning).to(projection.weight.device, torch.float32)
    projection.register_forward_hook(_adapt)


def _adapt(projection: Any, _: tuple[Tensor], h_BTD: Tensor) -> Any:
    return projection.adapter(h_BTD)


METHODS = TunerMethods(mark=insert_adapters)
