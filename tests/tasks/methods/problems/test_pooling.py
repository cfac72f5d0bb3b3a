"""A text gets the same answer alone and in a batch. Alone: pytest tests/tasks/methods/problems/test_pooling.py."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, set_seed

from schemas.errors import RecipeError
from schemas.recipe.problem import TextClassification, TokenClassification
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems.text_classification import load_model, make_collator
from tests.conftest import LABELS

PROBLEM = TextClassification(labels=LABELS, max_tokens=32)
END = "<|endoftext|>"
TEXTS = ["warm bread", f"warm bread{END}", f"{END}", f"late{END}{END}", "the staff was rude and the meal was very cold"]


@pytest.fixture(scope="module")
def tiny_llama(tiny_gpt2: Path, tmp_path_factory) -> Path:
    """A decoder with another head class and the same tokenizer."""
    folder = tmp_path_factory.mktemp("llama")
    shutil.copytree(tiny_gpt2, folder, dirs_exist_ok=True)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vocabulary = AutoConfig.from_pretrained(tiny_gpt2).vocab_size
    config = AutoConfig.for_model(
        "llama", **sizes, vocab_size=vocabulary, initializer_range=0.2, bos_token_id=0, eos_token_id=0
    )
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(params=["tiny_model", "tiny_gpt2", "tiny_llama"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def load(folder: Path):
    set_seed(0)
    tokenizer, model = load_tokenizer(folder), load_model(folder, PROBLEM, True).eval()
    model.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, model


def batch_of(tokenizer, texts: list[str]) -> dict[str, torch.Tensor]:
    return make_collator(tokenizer)([{"input_ids": tokenizer(text)["input_ids"]} for text in texts])


@torch.inference_mode()
def test_text_alone_and_in_a_padded_batch_gives_the_same_logits(folder: Path):
    tokenizer, model = load(folder)
    together_NC = model(**batch_of(tokenizer, TEXTS)).logits
    alone_NC = torch.cat([model(**batch_of(tokenizer, [text])).logits for text in TEXTS])

    torch.testing.assert_close(together_NC, alone_NC, atol=1e-5, rtol=1e-5)
    assert together_NC.std(dim=0).min() > 1e-3


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
@torch.inference_mode()
def test_answer_is_read_from_the_last_token_even_if_it_is_the_one_that_pads(name: str, request):
    tokenizer, model = load(request.getfixturevalue(name))
    batch = batch_of(tokenizer, TEXTS)
    every_NTC = model.score(model.base_model.forward(**batch).last_hidden_state)
    lengths_N = [len(tokenizer(text)["input_ids"]) for text in TEXTS]
    expected_NC = torch.stack([every_NTC[row, length - 1] for row, length in enumerate(lengths_N)])

    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    torch.testing.assert_close(model(**batch).logits, expected_NC)


@torch.inference_mode()
def test_text_that_does_not_end_in_the_pad_is_answered_as_by_the_library(tiny_gpt2: Path):
    tokenizer, model = load(tiny_gpt2)
    library = AutoModelForSequenceClassification.from_pretrained(tiny_gpt2, num_labels=len(LABELS)).eval()
    library.config.pad_token_id = tokenizer.pad_token_id
    library.load_state_dict(model.state_dict())
    batch = batch_of(tokenizer, [TEXTS[0], TEXTS[-1]])

    torch.testing.assert_close(model(**batch).logits, library(**batch).logits)


@torch.inference_mode()
def test_prefix_that_only_the_attention_sees_is_not_counted_as_tokens(tiny_gpt2: Path):
    """The keys and values of a prefix, with the texts after it, against prefix and text in one."""
    tokenizer, model = load(tiny_gpt2)
    prefix_NT = batch_of(tokenizer, ["the shop"] * len(TEXTS))["input_ids"]
    cache = model.base_model(prefix_NT, attention_mask=torch.ones_like(prefix_NT), use_cache=True).past_key_values
    batch = batch_of(tokenizer, TEXTS)
    mask_NT = torch.cat([torch.ones_like(prefix_NT), batch["attention_mask"]], dim=1)
    found_NC = model(batch["input_ids"], attention_mask=mask_NT, past_key_values=cache).logits

    whole_NT = torch.cat([prefix_NT, batch["input_ids"]], dim=1)
    torch.testing.assert_close(found_NC, model(whole_NT, attention_mask=mask_NT).logits, atol=1e-5, rtol=1e-5)


def test_gradient_reaches_every_token_of_the_text_and_no_padding(tiny_gpt2: Path):
    tokenizer, model = load(tiny_gpt2)
    batch = batch_of(tokenizer, TEXTS)
    embedded_NTH = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    model(inputs_embeds=embedded_NTH, attention_mask=batch["attention_mask"]).logits.sum().backward()

    assert torch.equal(embedded_NTH.grad.abs().sum(dim=-1) > 0, batch["attention_mask"].bool())


def test_decoder_that_labels_tokens_answers_each_for_itself(tiny_llama: Path):
    """Its head is called as the one of a classifier, but no token's answer may be read from another."""
    from tasks.methods.problems import token_classification

    problem = TokenClassification(labels=("X",), max_tokens=32, overlap_tokens=4)
    model = token_classification.load_model(tiny_llama, problem, True)
    logits_1TC = model(input_ids=torch.tensor([[1, 2, 3]])).logits

    assert not torch.allclose(logits_1TC[0, 0], logits_1TC[0, 2], atol=1e-3)


def test_architecture_that_sees_the_padding_is_refused(tiny_gpt2: Path, tmp_path: Path):
    shutil.copytree(tiny_gpt2, tmp_path, dirs_exist_ok=True)
    config = AutoConfig.for_model("xlnet", vocab_size=64, d_model=16, n_layer=1, n_head=2, d_inner=16)
    set_seed(0)
    AutoModel.from_config(config).save_pretrained(tmp_path)

    with pytest.raises(RecipeError, match="is a xlnet, whose prediction for a text depends on its padding"):
        load_model(tmp_path, PROBLEM, True)


def test_tokenizer_pads_on_the_right_whatever_its_folder_says(tiny_gpt2: Path, tmp_path: Path):
    shutil.copytree(tiny_gpt2, tmp_path / "left")
    load_tokenizer(tiny_gpt2).__class__.from_pretrained(tiny_gpt2, padding_side="left").save_pretrained(
        tmp_path / "left"
    )

    assert load_tokenizer(tmp_path / "left").padding_side == "right"


def test_tokenizer_without_anything_to_pad_with_is_refused(tiny_gpt2: Path, tmp_path: Path):
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_file=str(tiny_gpt2 / "tokenizer.json")).save_pretrained(tmp_path)

    with pytest.raises(RecipeError, match="neither a pad_token nor an eos_token"):
        load_tokenizer(tmp_path)
