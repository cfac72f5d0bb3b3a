"""One probability for every dropout of a model. Alone: pytest tests/tasks/methods/training/test_dropout.py."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForTokenClassification,
    T5Config,
    T5ForConditionalGeneration,
)

from schemas.recipe.problem import TextClassification
from schemas.recipe.training import Training
from schemas.recipe.tuning import FullTuning
from tasks.methods.training.dropout import set_dropout
from tasks.training import train
from tests.conftest import LABELS
from tests.tasks.test_training import encode, make_table

BERT = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 9}
# Of each architecture: the model, and the names in its configuration.
MODELS = {
    "bert": (
        lambda: BertForSequenceClassification(BertConfig(**BERT)),
        ["hidden_dropout_prob", "attention_probs_dropout_prob"],
    ),
    "roberta": (
        lambda: RobertaForTokenClassification(RobertaConfig(**BERT)),
        ["hidden_dropout_prob", "attention_probs_dropout_prob"],
    ),
    "distilbert": (
        lambda: DistilBertForSequenceClassification(
            DistilBertConfig(dim=8, n_layers=2, n_heads=2, hidden_dim=16, vocab_size=9)
        ),
        ["dropout", "attention_dropout", "seq_classif_dropout"],
    ),
    "gpt2": (
        lambda: GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=9)),
        ["resid_pdrop", "embd_pdrop", "attn_pdrop"],
    ),
    "llama": (
        lambda: LlamaForCausalLM(LlamaConfig(**BERT, num_key_value_heads=1)),
        ["attention_dropout"],
    ),
    "t5": (
        lambda: T5ForConditionalGeneration(
            T5Config(d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2, vocab_size=9, decoder_start_token_id=0)
        ),
        ["dropout_rate", "classifier_dropout"],
    ),
}


def logits_of(model) -> torch.Tensor:
    ids = torch.tensor([[3, 5, 7, 8, 4, 6, 2, 1]])
    inputs = {"input_ids": ids, "decoder_input_ids": ids} if model.config.is_encoder_decoder else {"input_ids": ids}
    with torch.no_grad():
        return model.train()(**inputs).logits


def attention_probabilities(model) -> list[float]:
    """What each attention layer gives its kernel as `dropout_p`, caught on the way."""
    found: list[float] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def catch(*arguments, dropout_p: float = 0.0, **more):
        found.append(dropout_p)
        return kernel(*arguments, dropout_p=dropout_p, **more)

    torch.nn.functional.scaled_dot_product_attention = catch
    try:
        logits_of(model)
    finally:
        torch.nn.functional.scaled_dot_product_attention = kernel
    return found


@pytest.mark.parametrize("architecture", MODELS)
def test_every_probability_is_set(architecture: str):
    make, names = MODELS[architecture]
    set_dropout(model := make(), 0.3)

    assert {getattr(model.config, name) for name in names} == {0.3}
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} <= {0.3}
    assert set(attention_probabilities(model)) == {0.3}


@pytest.mark.parametrize("architecture", MODELS)
def test_without_dropout_training_is_deterministic_and_with_it_not(architecture: str):
    model = MODELS[architecture][0]()

    set_dropout(model, 0.5)
    assert not torch.equal(logits_of(model), logits_of(model))
    set_dropout(model, 0.0)
    assert torch.equal(logits_of(model), logits_of(model))


def test_what_is_no_dropout_probability_stays():
    config = BartConfig(
        d_model=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        vocab_size=9,
        encoder_layerdrop=0.25,
    )
    set_dropout(model := BartForConditionalGeneration(config), 0.4)
    set_dropout(bert := MODELS["bert"][0](), 0.4)

    assert (model.config.encoder_layerdrop, model.model.encoder.layerdrop) == (0.25, 0.25)
    assert model.config.activation_dropout == 0.4
    assert bert.config.classifier_dropout is None


@pytest.mark.heavy
@pytest.mark.parametrize(("dropout", "expected"), [(None, 0.1), (0.25, 0.25)])
def test_recipe_decides_and_the_model_says_so(tiny_model: Path, tmp_path: Path, dropout: float | None, expected: float):
    problem = TextClassification(labels=LABELS, max_tokens=16)
    rows = encode(tiny_model, make_table(16, 1)), encode(tiny_model, make_table(16, 2))
    training = Training(epochs=1, learning_rate=1e-4, batch_size=16, dropout=dropout, early_stopping=None)
    train(tiny_model, rows, problem, FullTuning(), training, tmp_path)

    assert json.loads((tmp_path / "model" / "config.json").read_text())["hidden_dropout_prob"] == expected
