"""Virtual tokens of prefix and prompt tuning: trained positions before those of the text.

Legend of shapes: B rows, T tokens of the text, P trained positions.
"""

import inspect
from typing import Any

import torch

from schemas.errors import RecipeError


def open_inputs(body: Any, arguments: tuple[Any, ...], named: dict[str, Any], num_tokens: int) -> dict[str, Any]:
    """Return a body's inputs by name, with the mask extended and the positions shifted by `num_tokens`.

    For a forward pre-hook. Raises RecipeError when the model has too few positions.
    """
    inputs = dict(zip(inspect.signature(body.forward).parameters, arguments, strict=False)) | named
    limit, ids_BT = getattr(body.config, "max_position_embeddings", None), inputs.get("input_ids")
    if limit and ids_BT is not None and ids_BT.shape[1] + num_tokens > limit:
        raise RecipeError(
            f"A text of {ids_BT.shape[1]} tokens and tuning.num_tokens {num_tokens} do not fit the model's {limit} "
            f"positions. Set problem.max_tokens to {limit - num_tokens} or less."
        )
    mask_BT, positions_BT = inputs.get("attention_mask"), inputs.get("position_ids")
    if mask_BT is not None:
        inputs["attention_mask"] = torch.cat([mask_BT.new_ones(len(mask_BT), num_tokens), mask_BT], dim=1)
    if positions_BT is not None:
        inputs["position_ids"] = positions_BT + num_tokens
    return inputs


def num_rows(inputs: dict[str, Any]) -> int:
    return len(inputs["input_ids"] if inputs.get("input_ids") is not None else inputs["inputs_embeds"])


def num_cached(inputs: dict[str, Any]) -> int:
    """Return the number of positions in the cache, as in the later steps of a generation."""
    cache = inputs.get("past_key_values")
    return 0 if cache is None else int(cache.get_seq_length())
