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


def train_head_only(model: Any) -> Any:
    """Freeze all but the head that answers and what loading had to make anew; a language model's head stays frozen.

    Newly made weights cannot be frozen: they would be noise, and other noise where the model is loaded again.
    """
    body = {id(weight) for weight in model.base_model.parameters()} if model.base_model is not model else set()
    words = model.get_output_embeddings()
    language_head = {id(weight) for weight in words.parameters()} if words is not None else set()
    for weight in model.parameters():
        is_head = bool(body) and id(weight) not in body | language_head
        # The mark that transformers leaves on what came from a file.
        is_new = not getattr(weight, "_is_hf_initialized", False)
        weight.requires_grad_(is_head or is_new)
    return model


def find_projections(block: Any) -> dict[str, list[str]]:
    """Give the linear maps of a block by the part they belong to: each attention by its name, feed-forward as ''."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    found: dict[str, list[str]] = {}
    for name, module in block.named_modules():
        if isinstance(module, Linear | Conv1D):
            parts = name.split(".")
            inside = [number for number, part in enumerate(parts) if "att" in part.lower()]
            found.setdefault(".".join(parts[: inside[0] + 1]) if inside else "", []).append(name)
    return found
