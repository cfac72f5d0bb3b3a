"""Parameter groups of the optimizer, by learning rate and weight decay.

With a layer decay d < 1 the head learns at the full rate, the last block at d times that, the block before it at d^2
and so on, and the embeddings slowest. Sources: Howard and Ruder 2018 (arXiv:1801.06146, section 3.2, discriminative
fine-tuning); Sun et al. 2019 (arXiv:1905.05583, section 5.3.3: 0.95 for BERT).
"""

from typing import Any

from torch import nn

from tasks.methods.tuners.layers import find_blocks


def group_parameters(model: nn.Module, rate: float, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Return the parameter groups, highest rate first; each trainable parameter is in exactly one.

    Biases and weights of norms do not decay. A tied weight belongs to the group of its first use.
    Raises RecipeError when `layer_decay` < 1 and the model has no blocks.
    """
    depths = _depths(model) if layer_decay < 1 else {}
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            decays = weight.ndim > 1 and not name.endswith("bias")
            groups.setdefault((depths.get(id(weight), 0), decays), []).append(weight)
    return [
        {"params": groups[key], "lr": rate * layer_decay ** key[0], "weight_decay": weight_decay if key[1] else 0.0}
        for key in sorted(groups)
    ]


def _depths(model: nn.Module) -> dict[int, int]:
    """Map ids of parameters to their distance below the head; those after the blocks (0) are left out.

    Encoder and decoder each count from their last block. Every embedding, and every parameter that the model lists
    before its blocks, is farthest.
    """
    stacks: dict[str, list[nn.Module]] = {}
    for name, block in find_blocks(model):
        stacks.setdefault(name.rpartition(".")[0], []).append(block)
    depths: dict[int, int] = {}
    for blocks in stacks.values():
        for below, block in enumerate(reversed(blocks), start=1):
            depths |= {id(weight): below for weight in block.parameters()}
    lowest = 1 + max(len(blocks) for blocks in stacks.values())
    return depths | dict.fromkeys(_before(model, depths), lowest)


def _before(model: nn.Module, depths: dict[int, int]) -> set[int]:
    order = [id(weight) for weight in model.parameters()]
    first = next(number for number, key in enumerate(order) if key in depths)
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return (set(order[:first]) | tables) - depths.keys()
