"""Transformer blocks of any architecture, found by structure and not by name."""

from typing import Any

from schemas.errors import RecipeError


def find_blocks(model: Any) -> list[tuple[str, Any]]:
    """Return the transformer blocks as (name, module) in order from the input; the encoder's before the decoder's.

    Blocks are the elements of the outermost module lists of one class with weights, such as `encoder.layer.0` of
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
    """Freeze all weights but the head and newly initialised ones; the head of a language model is frozen too.

    Newly initialised weights are random and not stored with the base, so they must be trained.
    """
    body = {id(weight) for weight in model.base_model.parameters()} if model.base_model is not model else set()
    words = model.get_output_embeddings()
    language_head = {id(weight) for weight in words.parameters()} if words is not None else set()
    for weight in model.parameters():
        is_head = bool(body) and id(weight) not in body | language_head
        # Set by transformers on weights loaded from a file.
        is_new = not getattr(weight, "_is_hf_initialized", False)
        weight.requires_grad_(is_head or is_new)
    return model


def find_projections(block: Any) -> dict[str, list[str]]:
    """Return the linear maps of a block by part: each attention by its name, feed-forward as ''."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    found: dict[str, list[str]] = {}
    for name, module in block.named_modules():
        if isinstance(module, Linear | Conv1D):
            parts = name.split(".")
            inside = [number for number, part in enumerate(parts) if "att" in part.lower()]
            found.setdefault(".".join(parts[: inside[0] + 1]) if inside else "", []).append(name)
    return found
