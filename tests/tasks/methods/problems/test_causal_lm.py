"""Dialogue tuning: what is learned, what is written, where it ends. Alone: pytest tests/tasks/methods/problems/test_causal_lm.py."""

import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from schemas.errors import RecipeError
from schemas.recipe.problem import CausalLM
from schemas.recipe.training import CrossEntropy, Training
from schemas.recipe.tuning import FullTuning, LoRA, PrefixTuning, PromptTuning
from tasks.evaluation import answer
from tasks.methods.losses.loss import as_items
from tasks.methods.losses.table import LOSSES
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems import causal_lm
from tasks.methods.problems.encoded import IGNORED, make_token_collator
from tasks.methods.problems.generation import generate
from tasks.methods.rows import content_id
from tasks.methods.tuners.table import TUNERS
from tasks.training import copy_tokenizer, train
from tests.conftest import FILLER, WORDS

PROBLEM = CausalLM(max_tokens=32, answer_tokens=8)
QUICK = Training(epochs=10, batch_size=16, learning_rate=0.01, dropout=0, evaluations_per_epoch=1)
# Answers of different lengths, one of which begins as another does.
ANSWERS = {"bad": "the meal was cold", "fine": "the meal", "great": "very warm and bright today"}


def build_decoder(folder: Path, architecture: str = "llama") -> Path:
    """A decoder with two layers of width 32, new weights, no chat template and no token to pad with."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<end>", "<unk>", "User", "Assistant", ":", *FILLER, *(word for group in WORDS.values() for word in group)]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<end>").save_pretrained(folder)
    torch.manual_seed(0)
    ids = {"vocab_size": len(words), "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.1}
    if architecture == "gpt2":
        GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=64, **ids)).save_pretrained(folder)
    else:
        width = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        LlamaForCausalLM(LlamaConfig(max_position_embeddings=64, **width, **ids)).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    return folder


def make_dialogues(count: int, seed: int) -> pd.DataFrame:
    """Distinct prompts of several lengths, each with a word that says which answer is right."""
    choose, rows = random.Random(seed), {}
    while len(rows) < count:
        kind = choose.choice(list(ANSWERS))
        words = [choose.choice(WORDS[kind]), *choose.choices(FILLER, k=choose.randint(3, 9))]
        choose.shuffle(words)
        rows[" ".join(words)] = ANSWERS[kind]
    table = pd.DataFrame(rows.items(), columns=["text", "label"])
    return table.assign(id=[content_id(text) for text in table["text"]])


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def decoder(request, tmp_path_factory) -> Path:
    return build_decoder(tmp_path_factory.mktemp(request.param), request.param)


def learn(base: Path, work: Path, tuning=FullTuning(), training: Training = QUICK) -> Path:  # noqa: B008
    tokenizer = load_tokenizer(base)
    tokens = tuple(
        causal_lm.encode_rows(tokenizer, make_dialogues(count, seed), PROBLEM)[["input_ids", "labels"]]
        for count, seed in ((240, 1), (40, 2))
    )
    train(base, tokens, PROBLEM, tuning, training, work)
    return work / "model"


@pytest.fixture(scope="module")
def speaker(decoder: Path, tmp_path_factory) -> Path:
    return learn(decoder, tmp_path_factory.mktemp("speaker"))


@pytest.mark.heavy
def test_answers_are_learned_written_and_ended(speaker: Path):
    rows = make_dialogues(60, 3)
    answers = answer(speaker, rows, PROBLEM)

    assert list(answers["id"]) == list(rows["id"])
    assert list(answers["truth"]) == list(rows["label"])
    assert (answers["answer"] == rows["label"]).mean() > 0.95
    assert answers["is_finished"].mean() > 0.95
    assert list(answers["num_tokens"]) == [len(label.split()) + 1 for label in rows["label"]]
    assert answers["log_likelihood"].sum() / answers["num_tokens"].sum() > -0.1
    assert answers["probability"].between(0.5, 1).mean() > 0.95


@pytest.mark.heavy
def test_answer_that_does_not_end_is_said_to_be_unfinished(speaker: Path):
    rows = make_dialogues(30, 4)
    answers = answer(speaker, rows, PROBLEM.model_copy(update={"answer_tokens": 3}))
    is_short = np.array([label == ANSWERS["fine"] for label in answers["truth"]])

    assert answers["is_finished"][is_short].mean() > 0.9
    assert answers["is_finished"][~is_short].mean() < 0.1
    assert (answers["num_tokens"] == 3).all()


@pytest.mark.parametrize("tuning", [FullTuning(), LoRA(), PrefixTuning(num_tokens=3), PromptTuning(num_tokens=3)])
def test_prompt_gets_the_same_answer_alone_and_in_a_batch_as_greedy_search_by_hand(decoder: Path, tuning):
    torch.manual_seed(1)
    model = TUNERS[tuning.kind].mark(tuning, causal_lm.load_model(decoder, PROBLEM, True)).eval()
    for name, weight in model.named_parameters():
        if "prefix" in name or "prompt" in name or "lora_B" in name:
            weight.data.normal_(std=0.3)
    tokenizer = load_tokenizer(decoder)
    prompts = causal_lm.encode_prompts(tokenizer, list(make_dialogues(20, 5)["text"]), PROBLEM)
    together = generate(model, prompts, tokenizer.pad_token_id, [0], 8)

    assert len({len(prompt) for prompt in prompts}) > 3
    assert len({tuple(ids) for ids in together.ids}) > 5
    assert [generate(model, [prompt], tokenizer.pad_token_id, [0], 8).ids[0] for prompt in prompts] == together.ids
    assert [by_hand(model, prompt, 8) for prompt in prompts] == together.ids


def by_hand(model, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    with torch.inference_mode():
        while len(ids) < len(prompt) + count:
            batch = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
            ids.append(int(model(**batch).logits[0, -1].argmax()))
            if ids[-1] == 0:
                return ids[len(prompt) : -1]
    return ids[len(prompt) :]


@pytest.mark.heavy
def test_small_artefact_answers_as_it_was_trained(tmp_path: Path):
    training = QUICK.model_copy(update={"learning_rate": 0.02})
    folder = learn(build_decoder(tmp_path / "base"), tmp_path, LoRA(rank=16, dropout=0), training)
    rows = make_dialogues(40, 6)

    assert (folder / "trained.safetensors").exists()
    assert (answer(folder, rows, PROBLEM)["answer"] == rows["label"]).mean() > 0.5


def test_targets_are_the_answer_and_its_end_each_where_the_token_before_it_stands(decoder: Path):
    tokenizer = load_tokenizer(decoder)
    rows = pd.DataFrame({"text": ["the shop was cold", "a room"], "label": ["very warm", "plain today again"]})
    encoded = causal_lm.encode_rows(tokenizer, rows, PROBLEM)
    batch = make_token_collator(tokenizer)(encoded.to_dict("records"))
    words = [tokenizer.convert_ids_to_tokens(ids) for ids in encoded["input_ids"]]
    word = tokenizer.convert_tokens_to_ids

    assert tokenizer.pad_token == tokenizer.eos_token == "<end>"
    assert words[0] == ["User", ":", "the", "shop", "was", "cold", "Assistant", ":", "very", "warm"]
    assert batch["labels"][0].tolist() == [IGNORED] * 7 + [word("very"), word("warm"), word("<end>")]
    # Padding, the same token as the end, is told from it by its place.
    assert batch["input_ids"][1].tolist()[-1] == word("<end>")
    assert batch["labels"][1].tolist() == [IGNORED] * 5 + [*map(word, ["plain", "today", "again", "<end>"]), IGNORED]
    assert batch["attention_mask"].sum(dim=1).tolist() == [10, 9]


def test_loss_is_on_the_answer_only(decoder: Path):
    tokenizer = load_tokenizer(decoder)
    encoded = causal_lm.encode_rows(tokenizer, make_dialogues(6, 7), PROBLEM)
    labels = make_token_collator(tokenizer)(encoded.to_dict("records"))["labels"]
    loss = LOSSES["cross-entropy"](CrossEntropy(), np.array([1]))
    logits = torch.randn(*labels.shape, len(tokenizer), requires_grad=True)
    loss.total(as_items(logits, labels), as_items(labels, labels)).backward()
    is_moved = logits.grad.abs().sum(dim=-1) > 0

    assert is_moved.tolist() == (labels != IGNORED).tolist()
    answers = [len(label.split()) + 1 for label in make_dialogues(6, 7)["label"]]
    assert is_moved.sum(dim=1).tolist() == answers
    assert loss.weight(as_items(labels, labels)) == sum(answers)


@pytest.mark.heavy
def test_likelihood_is_that_of_the_models_own_loss(speaker: Path):
    rows = make_dialogues(12, 8)
    answers = answer(speaker, rows, PROBLEM)
    model, tokenizer = causal_lm.load_model(speaker, PROBLEM, False), load_tokenizer(speaker)
    for row, found in zip(rows.itertuples(), answers["log_likelihood"], strict=True):
        (prompt,) = causal_lm.encode_prompts(tokenizer, [row.text], PROBLEM)
        target = [*tokenizer(row.label)["input_ids"], tokenizer.eos_token_id]
        labels = torch.tensor([[IGNORED] * len(prompt) + target])
        with torch.inference_mode():
            mean = model(input_ids=torch.tensor([prompt + target]), labels=labels).loss.item()

        assert found == pytest.approx(-mean * len(target), rel=1e-3, abs=1e-4)


def test_long_prompt_loses_its_beginning_and_long_answer_its_end(decoder: Path):
    tokenizer = load_tokenizer(decoder)
    rows = pd.DataFrame({"text": [" ".join(["the"] * 40 + ["cold"])], "label": ["warm " * 20]})
    (row,) = causal_lm.encode_rows(tokenizer, rows, PROBLEM).to_dict("records")
    words = tokenizer.convert_ids_to_tokens(row["input_ids"])

    assert row["is_cut"]
    assert len(words) == 31
    assert words[:24] == ["the"] * 21 + ["cold", "Assistant", ":"]
    assert tokenizer.convert_ids_to_tokens(row["labels"][23:]) == ["warm"] * 8
    short = causal_lm.encode_rows(tokenizer, make_dialogues(2, 1), PROBLEM)
    assert not short["is_cut"].any()


def test_turns_are_written_in_the_tokenizers_own_template_up_to_its_own_end(decoder: Path, tmp_path: Path):
    folder = Path(shutil.copytree(decoder, tmp_path / "chat"))
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<unk>{{ m.content }}{{ '<turn>' if m.role == 'assistant' }}{% endfor %}"
        "{% if add_generation_prompt %}:{% endif %}"
    )
    tokenizer = load_tokenizer(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    rows = pd.DataFrame({"text": [np.array(["the shop", "very cold", "again"])], "label": ["warm"]})
    (row,) = causal_lm.encode_rows(tokenizer, rows, PROBLEM).to_dict("records")

    written = "<unk> the shop <unk> very cold <turn> <unk> again : warm"
    assert tokenizer.convert_ids_to_tokens(row["input_ids"]) == written.split()
    assert tokenizer.convert_ids_to_tokens(row["labels"][-2:]) == ["warm", "<turn>"]
    assert causal_lm.end_of_answer(load_tokenizer(decoder)) == tokenizer.eos_token_id != row["labels"][-1]
    (tmp_path / "model").mkdir()
    copy_tokenizer(folder, tmp_path / "model")
    assert load_tokenizer(tmp_path / "model").chat_template == tokenizer.chat_template


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("hello", "hi", None),
        (["hello", "hi", "and now"], "bye", None),
        (["hello", "hi"], "bye", "2 turns (expected the user's and the assistant's in turn, the last one the user's)"),
    ],
)
def test_what_is_no_dialogue_is_said(text: object, label: object, expected: str | None):
    assert causal_lm.find_invalid(text, label, PROBLEM) == expected


def test_model_that_sees_what_comes_is_refused(tiny_model: Path, tmp_path: Path):
    from transformers import AutoModelForCausalLM

    with_language_head = AutoModelForCausalLM.from_pretrained(tiny_model)
    with_language_head.save_pretrained(tmp_path)
    with pytest.raises(RecipeError, match="model.base is a bert that is bidirectional"):
        causal_lm.load_model(tmp_path, PROBLEM, True)
    with pytest.raises(RecipeError, match="only a classification head may be new"):
        causal_lm.load_model(tiny_model, PROBLEM, True)


def test_model_with_too_few_positions_is_refused(decoder: Path):
    with pytest.raises(RecipeError, match="model.base has 64 positions, but problem needs 100"):
        causal_lm.load_model(decoder, CausalLM(max_tokens=100, answer_tokens=8), True)


def test_answer_that_leaves_no_room_for_a_prompt_is_refused():
    with pytest.raises(ValueError, match="more than answer_tokens 64 .*no room for a prompt"):
        CausalLM(max_tokens=64, answer_tokens=64)
