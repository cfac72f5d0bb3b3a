"""Transformer blocks are found in any architecture. Alone: pytest tests/tasks/methods/tuners/test_layers.py."""

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForTokenClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
)

from schemas.errors import RecipeError
from tasks.methods.tuners.layers import find_blocks

BERT = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 9}
LLAMA = BERT | {"num_key_value_heads": 1}
MODELS = {
    "bert.encoder.layer": lambda: BertForSequenceClassification(BertConfig(**BERT)),
    "roberta.encoder.layer": lambda: RobertaForSequenceClassification(RobertaConfig(**BERT)),
    "distilbert.transformer.layer": lambda: DistilBertForTokenClassification(
        DistilBertConfig(dim=8, n_layers=3, n_heads=2, hidden_dim=16, vocab_size=9)
    ),
    "transformer.h": lambda: GPT2ForSequenceClassification(GPT2Config(n_embd=8, n_layer=3, n_head=2, vocab_size=9)),
    "model.layers": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA)),
}


@pytest.mark.parametrize("place", MODELS)
def test_blocks_of_an_encoder_or_decoder_are_found_in_order(place: str):
    model = MODELS[place]()

    assert find_blocks(model) == [
        (f"{place}.{number}", model.get_submodule(f"{place}.{number}")) for number in range(3)
    ]


def test_experts_inside_a_block_are_no_blocks():
    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])

    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([Block(), Block()])})

    assert [name for name, _ in find_blocks(model)] == ["layers.0", "layers.1"]


def test_blocks_of_an_encoder_come_before_those_of_its_decoder():
    t5 = T5ForConditionalGeneration(T5Config(d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2, vocab_size=9))
    bart = BartForConditionalGeneration(
        BartConfig(d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2)
    )

    assert [name for name, _ in find_blocks(t5)] == [
        "encoder.block.0",
        "encoder.block.1",
        "decoder.block.0",
        "decoder.block.1",
    ]
    assert [name for name, _ in find_blocks(bart)] == ["model.encoder.layers.0", "model.decoder.layers.0"]


def test_model_without_blocks_is_refused():
    with pytest.raises(RecipeError, match="Linear has no list of transformer blocks"):
        find_blocks(torch.nn.Linear(2, 2))
