"""What a base brings along that must not decide: switches, the order of labels, special tokens in texts.

Alone: pytest tests/tasks/methods/bases/test_bases.py.
"""

import json
import logging
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from flows.chain.prepare import find_unknown
from schemas.errors import RecipeError
from schemas.recipe.problem import MultiLabelClassification, TextClassification, TokenClassification
from schemas.records.references import TokensRef
from tasks.methods.bases.plain_text import without_special_tokens
from tasks.methods.bases.vocabulary import refuse_unended
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems import multi_label, text_classification, token_classification
from tasks.tokenization import count_unknown

THREE = ("bad", "fine", "great")


def classes(*labels: str) -> TextClassification:
    return TextClassification(labels=labels, max_tokens=16)


@pytest.fixture
def bert(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "bert"))


@pytest.fixture
def with_head(bert: Path) -> tuple[Path, torch.Tensor]:
    """A base with a head for three labels, and the rows of it."""
    model = text_classification.load_model(bert, classes(*THREE), True)
    model.save_pretrained(bert)
    return bert, model.classifier.weight.detach()


@pytest.mark.parametrize(
    "switch",
    [
        {"problem_type": "regression"},
        {"problem_type": "multi_label_classification"},
        {"return_dict": False},
        {"output_attentions": True},
        {"output_hidden_states": True},
        {"chunk_size_feed_forward": 7},
    ],
)
def test_switches_of_the_base_do_not_survive(bert: Path, switch: dict[str, object]):
    config = bert / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | switch))
    model = text_classification.load_model(bert, classes(*THREE), True)

    assert model.config.problem_type == "single_label_classification"
    assert list(model(input_ids=torch.tensor([[2, 5, 3]])).keys()) == ["logits"]


def test_several_labels_keep_their_own_problem_type(bert: Path):
    problem = MultiLabelClassification(labels=THREE, max_tokens=16)

    assert multi_label.load_model(bert, problem, True).config.problem_type == "multi_label_classification"


@pytest.mark.parametrize(
    ("labels", "rows", "said"),
    [
        (("great", "bad", "fine"), [2, 0, 1], "its rows follow their names"),
        (("fine", "bad"), [1, 0], "its rows follow their names"),
        (("great", "odd", "bad", "fine"), [2, None, 0, 1], "those of odd are new"),
        (("x", "y", "z"), [None, None, None], "so the head is new"),
    ],
)
def test_rows_of_a_head_follow_the_names_of_its_labels(with_head, caplog, labels, rows, said):
    folder, old_CH = with_head
    with caplog.at_level(logging.WARNING):
        new_CH = text_classification.load_model(folder, classes(*labels), True).classifier.weight

    found = [next((place for place, old_H in enumerate(old_CH) if torch.equal(old_H, new_H)), None) for new_H in new_CH]
    assert found == rows
    assert said in caplog.text


def test_same_labels_in_the_same_order_are_loaded_as_they_are(with_head, caplog):
    folder, old_CH = with_head
    model = text_classification.load_model(folder, classes(*THREE), True)

    assert torch.equal(model.classifier.weight, old_CH)
    assert "has a head for" not in caplog.text


def test_labels_of_a_base_are_compared_in_nfc(bert: Path, caplog):
    labels = ("dr\u00e4ngend", "gering")
    model = text_classification.load_model(bert, classes(*labels), True)
    old_CH = model.classifier.weight.detach()
    model.config.id2label = {0: "dra\u0308ngend", 1: "gering"}
    model.save_pretrained(bert)

    assert torch.equal(text_classification.load_model(bert, classes(*labels), True).classifier.weight, old_CH)
    assert torch.equal(text_classification.load_model(bert, classes(*labels), False).classifier.weight, old_CH)
    turned_CH = text_classification.load_model(bert, classes(*labels[::-1]), True).classifier.weight
    assert torch.equal(turned_CH, old_CH.flip(0))
    assert "are new" not in caplog.text


def test_special_token_in_a_text_is_text(tiny_model: Path):
    tokenizer = load_tokenizer(tiny_model)
    rows = pd.DataFrame({"text": ["warm [SEP] bread", "warm \uff3bsep\uff3d bread", "[PAD]"]})
    encoded = text_classification.encode_rows(tokenizer, rows, classes(*THREE))

    assert [ids.count(tokenizer.sep_token_id) for ids in encoded["input_ids"]] == [1, 1, 1]
    assert [ids.count(tokenizer.pad_token_id) for ids in encoded["input_ids"]] == [0, 0, 0]


def test_texts_without_special_tokens_stay_as_they_are(tiny_model: Path):
    texts = ["warm bread", "\uff21 full-width text", "[UNK] stands for a word", "a [ SEP"]

    assert without_special_tokens(load_tokenizer(tiny_model), texts) == texts


def test_words_have_the_tokens_of_words_in_a_text(tiny_gpt2: Path):
    problem = TokenClassification(labels=("place",), max_tokens=32, overlap_tokens=4)
    tokenizer = load_tokenizer(tiny_gpt2)
    rows = pd.DataFrame({"text": [["staff", "bread"]]})
    encoded = token_classification.encode_rows(tokenizer, rows, problem)

    assert list(encoded["input_ids"]) == [tokenizer(" staff bread")["input_ids"]]


def test_encoder_decoder_needs_one_end_token(tiny_model: Path):
    from transformers import BartConfig

    tokenizer = load_tokenizer(tiny_model)
    refuse_unended(tokenizer, BartConfig(eos_token_id=tokenizer.sep_token_id))
    with pytest.raises(RecipeError, match="adds 0 of them"):
        refuse_unended(tokenizer, BartConfig(eos_token_id=tokenizer.pad_token_id))


def test_unknown_words_are_counted_and_many_are_a_finding(tiny_model: Path, tiny_gpt2: Path):
    ids = [[2, 1, 1, 5, 3], [2, 1, 3]]
    found = count_unknown(load_tokenizer(tiny_model), ids)
    tokens = TokensRef(digest="0" * 64, size_bytes=1, num_rows=2, num_tokens=30, num_cut=0, num_unknown=found)
    (finding,) = find_unknown(tokens.model_copy(update={"num_tokens": 8}), "./base")

    assert found == 3
    assert count_unknown(load_tokenizer(tiny_gpt2), [[0, 0, 1]]) == 0
    assert find_unknown(tokens, "./base") == ()
    assert find_unknown(tokens.model_copy(update={"num_unknown": None}), "./base") == ()
    assert "train: 38% of the tokens are unknown to ./base" in finding.sentence
    assert "multilingual one such as" in finding.sentence
