"""Prompt tuning: trained embeddings before those of the text. Source: Lester et al. 2021, arXiv:2104.08691.

The model's body drops their positions from its output, so the head pools or labels only tokens of the text; with `peft`
alone GPT-2 classifies by a padded position.
Legend of shapes: B rows, T tokens of the text, P of the prompt, D width.
"""

from typing import Any

import torch

from schemas.recipe.tuning import PromptTuning
from tasks.methods.tuners.layers import train_head_only
from tasks.methods.tuners.tuner import TunerMethods
from tasks.methods.tuners.virtual_tokens import num_cached, open_inputs


def insert_prompt(tuning: PromptTuning, model: Any) -> Any:
    """Add a prompt to the model's body, or to the encoder of an encoder-decoder; it and the head are trained.

    It is initialised with embeddings of random tokens, which Lester et al. found better than noise.
    """
    # Imported here because it takes seconds, which other tuning methods need not wait for.
    from peft import PromptEmbedding, PromptTuningConfig, PromptTuningInit

    train_head_only(model)
    body = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    words = model.get_input_embeddings()
    settings = PromptTuningConfig(
        num_virtual_tokens=tuning.num_tokens,
        num_transformer_submodules=1,
        token_dim=words.embedding_dim,
        prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
    )
    body.prompt = PromptEmbedding(settings, words).to(model.device)  # type: ignore[no-untyped-call]
    body.register_forward_pre_hook(_put_before, with_kwargs=True)
    body.register_forward_hook(_take_out, with_kwargs=True)
    return model


def _put_before(body: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
    num_tokens = body.prompt.embedding.num_embeddings
    inputs = open_inputs(body, arguments, named, num_tokens)
    if num_cached(inputs) > 0:
        return (), inputs
    ids_BT, text_BTD = inputs.pop("input_ids", None), inputs.get("inputs_embeds")
    text_BTD = body.get_input_embeddings()(ids_BT) if text_BTD is None else text_BTD
    numbers_BP = torch.arange(num_tokens, device=text_BTD.device).expand(len(text_BTD), -1)
    inputs["inputs_embeds"] = torch.cat([body.prompt(numbers_BP).to(text_BTD.dtype), text_BTD], dim=1)
    for name, filled_BP in (("position_ids", numbers_BP), ("token_type_ids", torch.zeros_like(numbers_BP))):
        if inputs.get(name) is not None:
            given_BT = inputs[name].expand(len(text_BTD), -1)
            inputs[name] = torch.cat([filled_BP.to(given_BT.dtype), given_BT], dim=1)
    return (), inputs


def _take_out(body: Any, _: tuple[()], inputs: dict[str, Any], output: Any) -> Any:
    if inputs.get("inputs_embeds") is None:
        return output
    output.last_hidden_state = output.last_hidden_state[:, body.prompt.embedding.num_embeddings :]
    if output.get("pooler_output") is not None:
        output.pooler_output = body.pooler(output.last_hidden_state)
    return output


METHODS = TunerMethods(mark=insert_prompt)
