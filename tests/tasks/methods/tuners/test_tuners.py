"""Which weights each tuning method trains, and that padding does not matter to it.

Alone: pytest tests/tasks/methods/tuners/test_tuners.py.
"""

from pathlib import Path

import pytest
import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForTokenClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5ForConditionalGeneration,
)

from schemas.errors import RecipeError
from schemas.recipe.tuning import BottleneckAdapters, FullTuning, LoRA, PrefixTuning, PromptTuning, TopLayers, Tuning
from tasks.methods.tuners.lora import merge_products
from tasks.methods.tuners.table import TUNERS

# Blocks, width, width of feed-forward, words.
L, D, F, V = 2, 32, 64, 50
BERT = {
    "num_hidden_layers": L,
    "hidden_size": D,
    "intermediate_size": F,
    "num_attention_heads": 4,
    "vocab_size": V,
    "max_position_embeddings": 40,
    "initializer_range": 0.2,
}
ARCHITECTURES = {
    "bert": lambda: BertModel(BertConfig(**BERT)),
    "roberta": lambda: RobertaModel(RobertaConfig(**BERT, pad_token_id=0), add_pooling_layer=False),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(n_layer=L, n_embd=D, n_head=4, n_inner=F, vocab_size=V, n_positions=40, initializer_range=0.2)
    ),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**BERT, num_key_value_heads=2)),
}
TUNINGS = {
    "full": FullTuning(),
    "lora": LoRA(rank=4),
    "lora-attention": LoRA(rank=4, targets="attention"),
    "houlsby": BottleneckAdapters(layout="houlsby", reduction=8, initial_std=0.2),
    "pfeiffer": BottleneckAdapters(layout="pfeiffer", reduction=8, initial_std=0.2),
    "prefix": PrefixTuning(num_tokens=5),
    "prompt": PromptTuning(num_tokens=5),
    "top": TopLayers(num_layers=1),
}
ADAPTER = D * 4 + 4 + 4 * D + D
HEADS = {"bert": D * 3 + 3, "roberta": D * D + D + D * 3 + 3, "gpt2": D * 3, "llama": D * 3}
COUNTS = {
    # Rank times the sum of both widths of each linear map.
    ("bert", "lora"): 4 * L * (4 * 2 * D + 2 * (D + F)),
    ("bert", "lora-attention"): 4 * L * 4 * 2 * D,
    ("gpt2", "lora"): 4 * L * ((D + 3 * D) + 2 * D + 2 * (D + F)),
    ("llama", "lora"): 4 * L * (2 * 2 * D + 2 * (D + D // 2) + 3 * (D + F)),
    # Two norms a block, of weight and bias but for Llama's.
    ("bert", "houlsby"): L * (2 * ADAPTER + 4 * D),
    ("gpt2", "houlsby"): L * (2 * ADAPTER + 4 * D),
    ("llama", "houlsby"): L * (2 * ADAPTER + 2 * D),
    ("bert", "pfeiffer"): L * ADAPTER,
    ("llama", "pfeiffer"): L * ADAPTER,
    # Keys and values of each block; Llama's have half as many heads.
    ("bert", "prefix"): 5 * L * 2 * D,
    ("gpt2", "prefix"): 5 * L * 2 * D,
    ("llama", "prefix"): 5 * L * D,
    ("roberta", "prompt"): 5 * D,
    ("gpt2", "prompt"): 5 * D,
    ("bert", "top"): 4 * (D * D + D) + 2 * D * F + D + F + 4 * D,
    ("gpt2", "top"): D * 3 * D + 3 * D + D * D + D + 2 * D * F + D + F + 4 * D,
}
MARKS = {
    "full": "",
    "lora": "lora_",
    "lora-attention": "lora_",
    "houlsby": ".down. .up. norm ln_",
    "pfeiffer": ".down. .up.",
    "prefix": "prefix",
    "prompt": "prompt",
    "top": ".1.",
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Pretrained models of each architecture, without a head for labels."""
    torch.manual_seed(0)
    made = {name: tmp_path_factory.mktemp(name) for name in ARCHITECTURES}
    for name, folder in made.items():
        ARCHITECTURES[name]().save_pretrained(folder)
    return made


def tuned(folder: Path, tuning: Tuning):
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, dtype=torch.float32)
    model.config.pad_token_id = 0
    return TUNERS[tuning.kind].mark(tuning, model)


def trained_of(model) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def batch(lengths: tuple[int, ...], width: int) -> dict[str, torch.Tensor]:
    """Rows of fixed tokens, the same whatever the other rows and the width are."""
    ids_BT = torch.zeros(len(lengths), width, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids_BT[row, :length] = torch.arange(length) * (length + 2) % (V - 1) + 1
    return {"input_ids": ids_BT, "attention_mask": (ids_BT > 0).long()}


@pytest.mark.parametrize(("architecture", "method"), COUNTS)
def test_trained_weights_are_as_many_as_the_formula_says(folders, architecture: str, method: str):
    trained = trained_of(tuned(folders[architecture], TUNINGS[method]))

    assert sum(weight.numel() for weight in trained.values()) == COUNTS[architecture, method] + HEADS[architecture]


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("method", TUNINGS)
def test_two_steps_move_the_trained_weights_and_no_others(folders, architecture: str, method: str):
    model = tuned(folders[architecture], TUNINGS[method])
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    trained = set(trained_of(model))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(2):
        model(**batch((9, 4), 9), labels=torch.tensor([0, 2])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    body = {name for name in trained if not name.startswith(("classifier", "score"))}

    assert moved == trained
    assert {name for name in body if not any(mark in name.lower() for mark in MARKS[method].split(" "))} == set()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("method", TUNINGS)
def test_text_alone_and_in_a_padded_batch_gets_the_same_logits(folders, architecture: str, method: str):
    model = tuned(folders[architecture], TUNINGS[method]).eval()
    with torch.inference_mode():
        together = model(**batch((4, 11, 7), 11)).logits
        alone = torch.cat([model(**batch((length,), length)).logits for length in (4, 11, 7)])

    assert (together[0] - together[1]).abs().max() > 0.01
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("method", ["houlsby", "prefix", "prompt"])
def test_every_token_gets_logits_of_its_own_in_any_batch(folders, method: str):
    torch.manual_seed(1)
    model = BertForTokenClassification.from_pretrained(folders["bert"], num_labels=5)
    model = TUNERS[TUNINGS[method].kind].mark(TUNINGS[method], model).eval()
    with torch.inference_mode():
        together = model(**batch((4, 11), 11)).logits
        alone = model(**batch((4,), 4)).logits

    assert together.shape == (2, 11, 5)
    assert torch.allclose(together[0, :4], alone[0], atol=1e-5)


@pytest.mark.parametrize("method", ["full", "lora", "houlsby", "pfeiffer", "prompt", "top"])
def test_encoder_with_a_decoder_is_tuned_and_padding_does_not_matter(method: str, tmp_path):
    config = T5Config(d_model=D, d_kv=8, d_ff=F, num_layers=L, num_heads=4, vocab_size=V, decoder_start_token_id=0)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    torch.manual_seed(1)
    model = T5ForConditionalGeneration.from_pretrained(tmp_path)
    model = TUNERS[TUNINGS[method].kind].mark(TUNINGS[method], model).eval()
    answer_ids = torch.tensor([[0, 7, 8]])
    with torch.inference_mode():
        together = model(**batch((4, 11), 11), decoder_input_ids=answer_ids.expand(2, -1)).logits
        alone = model(**batch((4,), 4), decoder_input_ids=answer_ids).logits
    blocks = {name.partition(".")[0] for name in trained_of(model)} - {"shared"}

    assert torch.allclose(together[0], alone[0], atol=1e-4)
    assert blocks == {"prompt": {"encoder"}, "top": {"decoder"}}.get(method, {"encoder", "decoder"})


@pytest.mark.parametrize(
    ("architecture", "method", "settings"),
    [
        ("gpt2", "prefix", PrefixTuningConfig),
        ("bert", "prefix", PrefixTuningConfig),
        ("llama", "prefix", PrefixTuningConfig),
        ("gpt2", "prompt", PromptTuningConfig),
        ("llama", "prompt", PromptTuningConfig),
    ],
)
def test_text_without_padding_gets_the_logits_that_peft_gives_it(folders, architecture: str, method: str, settings):
    """With padding peft's own classes let a decoder with a prompt pool a padded position."""
    ours = tuned(folders[architecture], TUNINGS[method]).eval()
    theirs = get_peft_model(
        tuned(folders[architecture], FullTuning()), settings(task_type="SEQ_CLS", num_virtual_tokens=5)
    ).eval()
    table = getattr(ours.base_model, method).embedding.weight
    theirs.prompt_encoder.default.embedding.weight.data.copy_(table)
    with torch.inference_mode():
        assert torch.allclose(ours(**batch((9,), 9)).logits, theirs(**batch((9,), 9)).logits, atol=1e-5)


@pytest.mark.parametrize("method", ["lora", "houlsby", "pfeiffer"])
def test_training_begins_close_to_the_pretrained_model(folders, method: str):
    tuning = TUNINGS[method]
    tuning = BottleneckAdapters(layout=tuning.layout) if isinstance(tuning, BottleneckAdapters) else tuning
    with torch.inference_mode():
        before = tuned(folders["bert"], FullTuning()).eval()(**batch((9,), 9)).logits
        after = tuned(folders["bert"], tuning).eval()(**batch((9,), 9)).logits

    assert torch.allclose(before, after, atol=0.02)


def test_merged_products_answer_as_before_in_the_plain_architecture(folders):
    model = tuned(folders["gpt2"], TUNINGS["lora"]).eval()
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    with torch.inference_mode():
        before = model(**batch((9,), 9)).logits
        merged = merge_products(LoRA(merge=True), model)
        after = merged(**batch((9,), 9)).logits
    plain = tuned(folders["gpt2"], FullTuning()).eval()

    assert merged.state_dict().keys() == plain.state_dict().keys()
    assert torch.allclose(before, after, atol=1e-5)
    assert not torch.allclose(before, plain(**batch((9,), 9)).logits, atol=0.01)


@pytest.mark.parametrize("method", TUNINGS)
def test_language_head_and_its_words_stay_frozen_but_for_full_tuning(folders, method: str):
    tied, apart = GPT2LMHeadModel.from_pretrained(folders["gpt2"]), LlamaForCausalLM.from_pretrained(folders["llama"])
    trained = {
        name
        for model in (tied, apart)
        for name in trained_of(TUNERS[TUNINGS[method].kind].mark(TUNINGS[method], model))
    }
    words = {"transformer.wte.weight", "model.embed_tokens.weight", "lm_head.weight"}

    assert trained & words == (words if method == "full" else set())
    assert trained - words


@pytest.mark.parametrize("method", ["prefix", "prompt"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_generation_with_a_cache_says_what_it_says_without(folders, architecture: str, method: str):
    """Also for a padded row: prefix and prompt shift its positions once, not at each step."""
    model_class = {"gpt2": GPT2LMHeadModel, "llama": LlamaForCausalLM}[architecture]
    torch.manual_seed(3)
    model = (
        TUNERS[TUNINGS[method].kind].mark(TUNINGS[method], model_class.from_pretrained(folders[architecture])).eval()
    )
    ids = batch((4,), 4)["input_ids"]
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], dim=1)
    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    with torch.inference_mode():
        cached = model.generate(ids, attention_mask=ids > 0, **settings)
        slow = model.generate(ids, attention_mask=ids > 0, use_cache=False, **settings)
        left = model.generate(padded, attention_mask=(padded > 0).long(), **settings)

    assert cached.tolist() == slow.tolist()
    assert left[:, 3:].tolist() == cached.tolist()


def test_weights_that_loading_made_anew_are_trained_and_not_left_as_noise(tmp_path):
    BertModel(BertConfig(**BERT), add_pooling_layer=False).save_pretrained(tmp_path)
    trained = trained_of(tuned(tmp_path, TUNINGS["lora"]))

    assert "bert.pooler.dense.weight" in trained


def test_architectures_that_a_method_does_not_fit_are_refused(folders, tmp_path):
    DistilBertModel(DistilBertConfig(dim=D, n_layers=L, n_heads=4, hidden_dim=F, vocab_size=V)).save_pretrained(
        tmp_path
    )

    with pytest.raises(RecipeError, match="accepts no past_key_values.*prompt or lora"):
        tuned(tmp_path, TUNINGS["prefix"])
    with pytest.raises(RecipeError, match=r"tuning.num_layers is 3, but the model has 2 blocks"):
        tuned(folders["bert"], TopLayers(num_layers=3))


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_text_that_leaves_no_room_for_the_trained_positions_is_refused(folders, method: str):
    with pytest.raises(RecipeError, match=r"36 tokens and tuning.num_tokens 5 do not fit.*max_tokens to 35 or less"):
        tuned(folders["bert"], TUNINGS[method])(**batch((36,), 36))


def test_prefix_tuning_cannot_compute_activations_again(folders):
    """Then its keys and values would be dropped; the recipe is refused, and memory that lacks finds another way out."""
    assert not tuned(folders["gpt2"], TUNINGS["prefix"]).supports_gradient_checkpointing
    assert tuned(folders["gpt2"], TUNINGS["prompt"]).supports_gradient_checkpointing
