"""Where a model's transformer blocks are, in any architecture: found by their shape, not by a table of names."""

from typing import Any

from schemas.errors import RecipeError


def find_blocks(model: Any) -> list[tuple[str, Any]]:
    """Give the transformer blocks as (name, module) in order of depth from the input; an encoder's before a decoder's.

    Blocks are what the outermost lists of modules hold that repeat one class with weights in it: `encoder.layer.0` of
    BERT, `transformer.h.0` of GPT-2, `model.layers.0` of Llama, `encoder.block.0` and `decoder.block.0` of T5.
    Raises RecipeError when there are none.
    """
    from torch.nn import ModuleList

    lists = [(name, module) for name, module in model.named_modules() if isinstance(module, ModuleList)]
    outer = [(name, found) for name, found in lists if not any(name.startswith(f"{other}.") for other, _ in lists)]
    blocks = [
        (f"{name}.{number}", block)
        for name, found in outer
        if len({type(block) for block in found}) == 1 and any(True for _ in found.parameters())
        for number, block in enumerate(found)
    ]
    if not blocks:
        raise RecipeError(
            f"{type(model).__name__} has no list of transformer blocks, which this method needs. Use tuning.kind full."
        )
    return blocks
