"""Prefix tuning: trained keys and values that every attention sees before those of the text.

The model's body receives them as a filled cache, so any head works, and the positions of the text are unchanged.
Sources: Li and Liang 2021, arXiv:2101.00190; without the reparametrisation, as in Liu et al. 2022, arXiv:2110.07602.
Legend of shapes: B rows, T tokens of the text, P positions of the prefix, L blocks, H heads, W width of a head.
"""

import inspect
from typing import Any

import torch
from transformers import DynamicCache

from schemas.errors import RecipeError
from schemas.recipe.tuning import PrefixTuning
from tasks.methods.tuners.layers import find_blocks, train_head_only
from tasks.methods.tuners.tuner import TunerMethods
from tasks.methods.tuners.virtual_tokens import num_cached, num_rows, open_inputs


def insert_prefix(tuning: PrefixTuning, model: Any) -> Any:
    """Add a prefix to the model's body; only it and the head are trained."""
    # Imported here because it takes seconds, which other tuning methods need not wait for.
    from peft import PrefixEncoder, PrefixTuningConfig

    body, config = model.base_model, model.config
    if config.is_encoder_decoder or "past_key_values" not in inspect.signature(body.forward).parameters:
        raise RecipeError(
            f"{type(model).__name__} accepts no past_key_values, which prefix tuning needs. "
            "Use tuning.kind prompt or lora."
        )
    train_head_only(model)
    num_heads, width = _head_shape(config)
    settings = PrefixTuningConfig(
        num_virtual_tokens=tuning.num_tokens,
        num_layers=len(find_blocks(model)),
        token_dim=num_heads * width,
        num_attention_heads=num_heads,
    )
    body.prefix = PrefixEncoder(settings).to(model.device)  # type: ignore[no-untyped-call]
    body.register_forward_pre_hook(_put_before, with_kwargs=True)
    body.register_forward_hook(_forget, with_kwargs=True)
    # Gradient checkpointing drops the keys and values.
    model.supports_gradient_checkpointing = False
    return model


def _put_before(body: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
    table = body.prefix.embedding
    inputs = open_inputs(body, arguments, named, table.num_embeddings)
    if num_cached(inputs) == 0:
        numbers_BP = torch.arange(table.num_embeddings, device=table.weight.device).expand(num_rows(inputs), -1)
        num_heads, width = _head_shape(body.config)
        pairs_BPNHW = body.prefix(numbers_BP).unflatten(-1, (-1, num_heads, width))
        inputs["past_key_values"] = _fill(inputs.get("past_key_values"), pairs_BPNHW.permute(2, 0, 3, 1, 4))
    return (), inputs


def _forget(body: Any, _: tuple[()], inputs: dict[str, Any], output: Any) -> Any:
    if inputs.get("use_cache") is False:
        # Otherwise generation would pass the cache back together with the whole text.
        output.past_key_values = None
    return output


def _fill(cache: Any, pairs_NBHPW: Any) -> Any:
    """Put keys and values, alternating along the first axis (N = 2 L), into an empty cache."""
    cache = DynamicCache() if cache is None else cache
    for layer in range(len(pairs_NBHPW) // 2):
        cache.update(pairs_NBHPW[2 * layer], pairs_NBHPW[2 * layer + 1], layer)
    return cache


def _head_shape(config: Any) -> tuple[int, int]:
    num_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return num_heads, getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


METHODS = TunerMethods(mark=insert_prefix)
