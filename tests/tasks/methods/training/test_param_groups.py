"""Every weight learns at one rate, by its depth. Alone: pytest tests/tasks/methods/training/test_param_groups.py."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForTokenClassification,
    T5Config,
    T5ForConditionalGeneration,
)

from schemas.errors import RecipeError
from schemas.recipe.problem import TextClassification
from schemas.recipe.training import Training
from schemas.recipe.tuning import FullTuning
from tasks.methods.problems.text_classification import load_model
from tasks.methods.training.param_groups import group_parameters
from tasks.training import train
from tests.conftest import LABELS
from tests.tasks.test_training import encode, make_table

BERT = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 9}
GPT2 = GPT2Config(n_embd=8, n_layer=3, n_head=2, vocab_size=9)
# Of each architecture: a weight of the head, one of each block from the last to the first, one of the embeddings.
MODELS = {
    "bert": (
        lambda: BertForSequenceClassification(BertConfig(**BERT)),
        ["classifier.weight", *(f"bert.encoder.layer.{n}.output.dense.weight" for n in (2, 1, 0))],
        "bert.embeddings.word_embeddings.weight",
    ),
    "distilbert": (
        lambda: DistilBertForSequenceClassification(
            DistilBertConfig(dim=8, n_layers=3, n_heads=2, hidden_dim=16, vocab_size=9)
        ),
        ["pre_classifier.weight", *(f"distilbert.transformer.layer.{n}.ffn.lin1.weight" for n in (2, 1, 0))],
        "distilbert.embeddings.position_embeddings.weight",
    ),
    "roberta": (
        lambda: RobertaForTokenClassification(RobertaConfig(**BERT)),
        ["classifier.weight", *(f"roberta.encoder.layer.{n}.output.dense.weight" for n in (2, 1, 0))],
        "roberta.embeddings.word_embeddings.weight",
    ),
    "gpt2": (
        lambda: GPT2ForSequenceClassification(GPT2),
        ["score.weight", *(f"transformer.h.{n}.mlp.c_fc.weight" for n in (2, 1, 0))],
        "transformer.wpe.weight",
    ),
    "gpt2 with its head tied": (
        lambda: GPT2LMHeadModel(GPT2),
        ["transformer.ln_f.weight", *(f"transformer.h.{n}.mlp.c_fc.weight" for n in (2, 1, 0))],
        "transformer.wte.weight",
    ),
    "llama": (
        lambda: LlamaForCausalLM(LlamaConfig(**BERT, num_key_value_heads=1)),
        ["lm_head.weight", *(f"model.layers.{n}.mlp.up_proj.weight" for n in (2, 1, 0))],
        "model.embed_tokens.weight",
    ),
    "t5": (
        lambda: T5ForConditionalGeneration(
            T5Config(d_model=8, d_kv=4, d_ff=16, num_layers=3, num_heads=2, vocab_size=9)
        ),
        ["decoder.final_layer_norm.weight", *(f"decoder.block.{n}.layer.2.layer_norm.weight" for n in (2, 1, 0))],
        "shared.weight",
    ),
}


def by_name(model: nn.Module, groups: list[dict]) -> dict[str, dict]:
    names = {id(weight): name for name, weight in model.named_parameters()}
    return {names[id(weight)]: group for group in groups for weight in group["params"]}


@pytest.mark.parametrize("architecture", MODELS)
def test_each_parameter_is_in_one_group_and_the_rate_falls_with_depth(architecture: str):
    make, head_and_blocks, embedding = MODELS[architecture]
    groups = group_parameters(model := make(), 1.0, 0.01, 0.5)
    found = by_name(model, groups)

    assert sum(len(group["params"]) for group in groups) == len(found) == len(list(model.parameters()))
    assert [found[name]["lr"] for name in (*head_and_blocks, embedding)] == [1, 0.5, 0.25, 0.125, 0.0625]
    assert [group["lr"] for group in groups] == sorted((group["lr"] for group in groups), reverse=True)


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("layer_decay", [0.9, 1.0])
def test_biases_and_norms_do_not_decay_and_all_else_does(architecture: str, layer_decay: float):
    model = MODELS[architecture][0]()
    found = by_name(model, group_parameters(model, 1.0, 0.01, layer_decay))
    norms = {
        f"{name}.{part}"
        for name, module in model.named_modules()
        if "norm" in type(module).__name__.lower()
        for part, _ in module.named_parameters()
    }
    undecayed = {name for name in found if name.endswith(".bias")} | norms

    assert norms
    assert {name for name, group in found.items() if group["weight_decay"] == 0} == undecayed
    assert {group["weight_decay"] for group in found.values()} == {0, 0.01}


def test_blocks_of_encoder_and_decoder_are_each_counted_from_their_last():
    found = by_name(model := MODELS["t5"][0](), group_parameters(model, 1.0, 0.01, 0.5))

    for number in range(3):
        rates = {group["lr"] for name, group in found.items() if f"coder.block.{number}." in name}
        assert rates == {0.5 ** (3 - number)}


def test_norm_of_the_embeddings_learns_as_slowly_as_they_do():
    found = by_name(model := MODELS["bert"][0](), group_parameters(model, 1.0, 0.01, 0.5))

    assert {group["lr"] for name, group in found.items() if ".embeddings." in name} == {0.0625}


def test_embeddings_that_are_named_after_blocks_learn_slowest():
    """BART names its decoder's positions after its encoder's blocks."""
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = BartConfig(d_model=8, encoder_layers=1, decoder_layers=2, vocab_size=9, pad_token_id=1, **heads)
    found = by_name(model := BartForConditionalGeneration(config), group_parameters(model, 1.0, 0.01, 0.5))

    assert found["model.decoder.embed_positions.weight"]["lr"] == found["model.shared.weight"]["lr"] == 0.125
    assert found["model.encoder.layers.0.fc1.weight"]["lr"] == 0.5


def test_bias_of_two_dimensions_does_not_decay():
    """As XLNet's, one row for each head."""
    model = nn.Module()
    model.r_w_bias = nn.Parameter(torch.zeros(2, 2))

    assert [group["weight_decay"] for group in group_parameters(model, 1.0, 0.01, 1.0)] == [0.0]


def test_without_layer_decay_there_are_two_groups_and_no_blocks_are_needed():
    groups = group_parameters(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), 0.1, 0.01, 1.0)

    assert [(len(group["params"]), group["lr"], group["weight_decay"]) for group in groups] == [
        (2, 0.1, 0.0),
        (2, 0.1, 0.01),
    ]


def test_layer_decay_without_blocks_is_refused():
    with pytest.raises(RecipeError, match="has no list of transformer blocks"):
        group_parameters(nn.Linear(2, 2), 0.1, 0.01, 0.9)


def test_frozen_parameters_are_in_no_group():
    model = MODELS["bert"][0]()
    model.bert.requires_grad_(False)

    assert set(by_name(model, group_parameters(model, 1.0, 0.01, 0.9))) == {"classifier.weight", "classifier.bias"}


@pytest.mark.heavy
def test_training_moves_the_head_and_hardly_the_embeddings(tiny_model: Path, tmp_path: Path):
    """One step at a layer decay of a twentieth: each layer moves a twentieth of what the one above it moves."""
    problem = TextClassification(labels=LABELS, max_tokens=16)
    training = Training(epochs=1, batch_size=16, learning_rate=0.01, schedule="constant", warmup_fraction=0)
    rows = encode(tiny_model, make_table(16, 1)), encode(tiny_model, make_table(16, 2))
    torch.manual_seed(0)
    before = load_model(tiny_model, problem, True).state_dict()
    train(tiny_model, rows, problem, FullTuning(layer_decay=0.05), training, tmp_path)
    after = load_file(tmp_path / "model" / "model.safetensors")
    names = [
        "classifier.weight",
        "bert.encoder.layer.1.output.dense.weight",
        "bert.encoder.layer.0.output.dense.weight",
    ]

    assert [(after[name] - before[name]).abs().max().item() for name in names] == [
        pytest.approx(0.01 * 0.05**depth, rel=0.1) for depth in range(3)
    ]
