"""Bases that are refused when they are pinned, and some that are not. Alone: pytest tests/tasks/methods/models/test_trial.py."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram, WordPiece
from tokenizers.pre_tokenizers import Whitespace

from schemas.errors import RecipeError
from schemas.recipe.problem import CausalLM, Problem, SequenceToSequence, TextClassification, TokenClassification
from tasks.methods.models.trial import try_base
from tasks.methods.problems import causal_lm
from tasks.services.inputs.pretrained import digest_files, loaded_files

LABELS = TextClassification(labels=("bad", "great"), max_tokens=32)
ENTITIES = TokenClassification(labels=("place",), max_tokens=32, overlap_tokens=4)
DIALOGUE = CausalLM(max_tokens=48, answer_tokens=8)
TURNS = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def bert(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "bert"))


@pytest.fixture
def gpt2(tiny_gpt2: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_gpt2, tmp_path / "gpt2"))


def attempt(folder: Path, problem: Problem = LABELS) -> None:
    try_base(folder, loaded_files(folder), problem)


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rewrite(folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor | None]) -> None:
    weights = {name: change(name, weight) for name, weight in load_file(folder / WEIGHTS).items()}
    save_file({name: weight for name, weight in weights.items() if weight is not None}, folder / WEIGHTS)


def shard(folder: Path, place: str) -> None:
    """Split the weights into two files, the second of which the index calls `place`."""
    weights = load_file(folder / WEIGHTS)
    first = sorted(weights)[:9]
    save_file({name: weights[name] for name in first}, folder / "part-1.safetensors")
    save_file({name: weight for name, weight in weights.items() if name not in first}, folder / "part-2.safetensors")
    (folder / WEIGHTS).unlink()
    places = {name: "part-1.safetensors" if name in first else place for name in weights}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("problem", [LABELS, ENTITIES])
def test_whole_base_is_accepted_in_one_file_or_in_shards(bert: Path, problem: Problem):
    attempt(bert, problem)
    shard(bert, "part-2.safetensors")
    attempt(bert, problem)


def test_trial_moves_no_random_number(bert: Path):
    before = torch.get_rng_state()
    attempt(bert)

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "newer"}, "'newer', which transformers .* does not know"),
        ({"model_type": None, "auto_map": {"AutoConfig": "own.Config"}}, "code of its own"),
        ({"quantization_config": {"quant_method": "unheard-of"}}, "is quantised"),
        ({"transformers_weights": "other.safetensors"}, "none of its digest"),
        ({"attn_implementation": "someone/fast-kernel"}, "code of the hub, which is never run"),
        ({"text_config": {"_attn_implementation": {"": "someone/fast-kernel"}}}, "code of the hub"),
        ({"num_hidden_layers": 1_000_000}, "num_hidden_layers 1,000,000, and its files hold 39 weights"),
        ({"intermediate_size": 128}, "weights have another shape.*\\[64.*in the file, \\[128"),
        ({"num_hidden_layers": 1}, "which has fewer blocks"),
        ({"num_hidden_layers": 3}, "in none of its .* would be random"),
        ({"num_attention_heads": 5}, "builds no model from its config.json"),
        ({"hidden_size": "wide"}, "builds no model from its config.json"),
    ],
)
def test_configuration_that_does_not_fit_is_refused(bert: Path, values: dict[str, Any], message: str):
    edit(bert / "config.json", **values)

    with pytest.raises(RecipeError, match=message):
        attempt(bert)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no whole safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
        (None, "no whole safetensors file"),
    ],
)
def test_damaged_weights_are_refused(bert: Path, content: bytes | None, message: str):
    whole = (bert / WEIGHTS).read_bytes()
    (bert / WEIGHTS).write_bytes(whole[:-64] if content is None else content)

    with pytest.raises(RecipeError, match=message):
        attempt(bert)


def test_weights_that_are_not_whole_numbers_of_the_model_are_refused(bert: Path):
    rewrite(bert, lambda name, weight: None if "layer.0.output" in name else weight)
    with pytest.raises(RecipeError, match="4 weights, such as bert.encoder.layer.0.output"):
        attempt(bert)
    rewrite(bert, lambda name, weight: weight.to(torch.float8_e4m3fn) if "key.weight" in name else weight)
    with pytest.raises(RecipeError, match="type F8_E4M3.* is quantised"):
        attempt(bert)


def test_pooler_may_be_new_as_the_head_is(bert: Path):
    rewrite(bert, lambda name, weight: None if "pooler" in name else weight)

    attempt(bert)


@pytest.mark.parametrize("place", ["../part-2.safetensors", "/part-2.safetensors", "part-2.bin", "part-3.safetensors"])
def test_index_names_files_of_the_digest_only(bert: Path, place: str):
    shard(bert, place)

    with pytest.raises(RecipeError, match="Fetch all shards" if "3" in place else "is part of the base's digest"):
        attempt(bert)


def test_index_without_metadata_is_refused(bert: Path):
    shard(bert, "part-2.safetensors")
    edit(bert / INDEX, metadata=None)

    with pytest.raises(RecipeError, match="has no metadata"):
        attempt(bert)


def test_vocabulary_is_not_invented(bert: Path):
    (bert / "tokenizer.json").unlink()
    with pytest.raises(RecipeError, match="there is no tokenizer.json"):
        attempt(bert)
    (bert / "tokenizer_config.json").unlink()
    with pytest.raises(RecipeError, match="no tokenizer files"):
        attempt(bert)


def test_tokenizer_of_another_folder_is_refused(bert: Path, gpt2: Path):
    edit(bert / "tokenizer_config.json", fast_tokenizer_files=[f"../{gpt2.name}/tokenizer.1.0.0.json"])
    with pytest.raises(RecipeError, match="fast_tokenizer_files.*only files beside it"):
        attempt(bert)
    edit(bert / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.json"])
    attempt(bert)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (BPE({"[PAD]": 0, **{letter: number for number, letter in enumerate("abcdefgh", 1)}}, []), "leaves out"),
        (WordPiece({"[PAD]": 0, "bread": 1}), r"cannot encode every text.*Missing \[UNK\]"),
        (Unigram([("[PAD]", 0.0), ("bread", -1.0)]), "cannot encode every text.*`unk_id` is missing"),
    ],
)
def test_tokenizer_without_an_unknown_token_is_refused(bert: Path, model: Any, message: str):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(bert / "tokenizer.json"))
    edit(bert / "tokenizer_config.json", unk_token=None, cls_token=None, sep_token=None)

    with pytest.raises(RecipeError, match=message):
        attempt(bert)


@pytest.mark.parametrize("values", [{"cache_implementation": "other"}, {"num_return_sequences": 4}])
def test_settings_of_generation_do_not_matter(gpt2: Path, values: dict[str, Any]):
    (gpt2 / "generation_config.json").write_text(json.dumps(values))
    attempt(gpt2, DIALOGUE)

    assert causal_lm.load_model(gpt2, DIALOGUE, True).generation_config.num_return_sequences is None


def test_sentencepiece_alone_asks_for_the_extra(bert: Path, monkeypatch):
    monkeypatch.setattr("tasks.methods.bases.vocabulary.find_spec", lambda name: None)
    (bert / "tokenizer.json").rename(bert / "source.spm")

    with pytest.raises(RecipeError, match=r"source.spm.*\[sentencepiece\]"):
        attempt(bert)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_damaged_tokenizer_is_refused(bert: Path, content: str):
    (bert / "tokenizer.json").write_text(content)

    with pytest.raises(RecipeError, match="tokenizer"):
        attempt(bert)


def test_token_without_an_embedding_is_refused(bert: Path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bert)
    tokenizer.add_tokens(["<place>"])
    tokenizer.save_pretrained(bert)

    with pytest.raises(RecipeError, match="'<place>'.* embeddings"):
        attempt(bert)


def test_model_of_another_kind_is_refused(bert: Path):
    with pytest.raises(RecipeError, match="no AutoModelForSeq2SeqLM"):
        attempt(bert, SequenceToSequence(max_tokens=24, answer_tokens=8))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% set clock = strftime_now %}" + TURNS, "calls strftime_now"),
        ("{{ ['a', 'b'] | random }}" + TURNS, "calls random"),
        ("{{ [['a', 'b']] | map('random') | join }}" + TURNS, "calls random"),
        ("{{ '}}' ~ strftime_now('%d') }}" + TURNS, "calls strftime_now"),
        ("{{ '{#' }}{{ strftime_now('%d') }}{{ '#}' }}" + TURNS, "calls strftime_now"),
        ([{"name": "tools", "template": TURNS}, {"name": "plain", "template": TURNS}], "plain, tools; expected one"),
        ("{% for", "does not suit"),
        ("{{ raise_exception('a system turn is needed') }}", "a system turn is needed"),
        ("hello", "leaves the assistant's answer out"),
    ],
)
def test_template_that_cannot_be_used_is_refused(gpt2: Path, template: Any, message: str):
    edit(gpt2 / "tokenizer_config.json", chat_template=template)

    with pytest.raises(RecipeError, match=message):
        attempt(gpt2, DIALOGUE)
    attempt(gpt2)


def test_words_of_a_template_are_not_its_calls(gpt2: Path):
    written = "{# strftime_now was here #}Say something random, no lipsum. " + TURNS
    edit(gpt2 / "tokenizer_config.json", chat_template=written)

    attempt(gpt2, DIALOGUE)


def test_default_of_several_templates_is_used(gpt2: Path):
    from tasks.methods.models.tokenizer import load_tokenizer
    from tasks.methods.problems.causal_lm import encode_prompts

    edit(gpt2 / "tokenizer_config.json", chat_template=TURNS)
    one = encode_prompts(load_tokenizer(gpt2), ["warm bread"], DIALOGUE)
    several = [{"name": "tools", "template": "none"}, {"name": "default", "template": TURNS}]
    edit(gpt2 / "tokenizer_config.json", chat_template=several)
    attempt(gpt2, DIALOGUE)

    assert encode_prompts(load_tokenizer(gpt2), ["warm bread"], DIALOGUE) == one


@pytest.mark.parametrize("name", ["source.spm", "bpe.codes", "vocab-src.json", "dict.txt", "target_vocab.json"])
def test_files_that_tokenizers_read_are_part_of_the_digest(bert: Path, name: str):
    (bert / name).write_text("{}")

    assert name in digest_files(bert)
