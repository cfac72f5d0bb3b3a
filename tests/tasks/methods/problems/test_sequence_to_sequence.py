"""Text to text: what is learned, what the decoder sees. Alone: pytest tests/tasks/methods/problems/test_sequence_to_sequence.py."""

import random
from pathlib import Path

import pandas as pd
import pytest
import torch

from schemas.errors import RecipeError
from schemas.recipe.problem import SequenceToSequence
from schemas.recipe.training import Training
from schemas.recipe.tuning import FullTuning, LoRA, PromptTuning
from tasks.evaluation import answer
from tasks.methods.metrics.score import group_rows, measure
from tasks.methods.metrics.table import METRICS
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems import sequence_to_sequence
from tasks.methods.problems.generation import generate
from tasks.methods.rows import content_id
from tasks.methods.tuners.table import TUNERS
from tasks.training import train

PROBLEM = SequenceToSequence(max_tokens=16, answer_tokens=12)
QUICK = Training(epochs=12, batch_size=16, learning_rate=0.004, dropout=0, evaluations_per_epoch=1)
DICTIONARY = {"one": "eins", "two": "zwei", "red": "rot", "blue": "blau", "cat": "Katze", "dog": "Hund"}


def build_translator(folder: Path, architecture: str = "t5") -> Path:
    """An encoder and a decoder of two layers of width 32 each, new weights, words for tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        BartConfig,
        BartForConditionalGeneration,
        PreTrainedTokenizerFast,
        T5Config,
        T5ForConditionalGeneration,
    )

    words = ["<pad>", "</s>", "<unk>", *DICTIONARY, *DICTIONARY.values()]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    ids = {"vocab_size": len(words), "pad_token_id": 0, "eos_token_id": 1}
    if architecture == "bart":
        layers = {f"{side}_{name}": 2 for side in ("encoder", "decoder") for name in ("layers", "attention_heads")}
        widths = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 32}
        config = BartConfig(**ids, **layers, **widths, bos_token_id=1, decoder_start_token_id=1, init_std=0.1)
        BartForConditionalGeneration(config).save_pretrained(folder)
    else:
        widths = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
        T5ForConditionalGeneration(T5Config(**ids, **widths, decoder_start_token_id=0)).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    return folder


def make_pairs(count: int, seed: int) -> pd.DataFrame:
    """Distinct texts of one to five words with their translation word by word."""
    choose, rows = random.Random(seed), {}
    while len(rows) < count:
        words = choose.choices(list(DICTIONARY), k=choose.randint(1, 5))
        rows[" ".join(words)] = " ".join(DICTIONARY[word] for word in words)
    table = pd.DataFrame(rows.items(), columns=["text", "label"])
    return table.assign(id=[content_id(text) for text in table["text"]])


@pytest.fixture(scope="module", params=["t5", "bart"])
def base(request, tmp_path_factory) -> Path:
    return build_translator(tmp_path_factory.mktemp(request.param), request.param)


def learn(folder: Path, work: Path, tuning=FullTuning()) -> Path:  # noqa: B008
    tokenizer = load_tokenizer(folder)
    tokens = tuple(
        sequence_to_sequence.encode_rows(tokenizer, make_pairs(count, seed), PROBLEM)[["input_ids", "labels"]]
        for count, seed in ((400, 1), (40, 2))
    )
    train(folder, tokens, PROBLEM, tuning, QUICK, work)
    return work / "model"


@pytest.fixture(scope="module")
def translator(base: Path, tmp_path_factory) -> Path:
    return learn(base, tmp_path_factory.mktemp("translator"))


@pytest.mark.heavy
def test_dictionary_is_learned_word_by_word(translator: Path):
    rows = make_pairs(60, 3)
    answers = answer(translator, rows, PROBLEM)
    groups = group_rows(answers["truth"].to_numpy(), answers["answer"].to_numpy())

    assert list(answers["id"]) == list(rows["id"])
    assert list(answers["truth"]) == list(rows["label"])
    assert measure(METRICS["bleu"], groups, 0, ())["bleu"] > 0.3
    assert measure(METRICS["rouge_l"], groups, 0, ())["rouge_l"] > 0.7
    assert answers["is_finished"].mean() > 0.95
    assert answers["probability"].between(0, 1).all()


@pytest.mark.heavy
@pytest.mark.parametrize("num_beams", [1, 3])
def test_text_gets_the_same_answer_alone_and_in_a_batch(translator: Path, num_beams: int):
    rows, problem = make_pairs(25, 4), PROBLEM.model_copy(update={"num_beams": num_beams})
    together = answer(translator, rows, problem)
    alone = pd.concat([answer(translator, rows.iloc[[number]], problem) for number in range(5)])

    assert rows["text"].str.split().str.len().head(5).nunique() > 1
    assert list(together["answer"].head(5)) == list(alone["answer"])
    assert list(together["probability"].head(5)) == pytest.approx(list(alone["probability"]), abs=1e-4)


@pytest.mark.heavy
@pytest.mark.parametrize("tuning", [FullTuning(), LoRA(), PromptTuning(num_tokens=3)])
def test_answer_is_that_of_greedy_search_by_hand(translator: Path, tuning):
    torch.manual_seed(1)
    model = TUNERS[tuning.kind].mark(tuning, sequence_to_sequence.load_model(translator, PROBLEM, True)).eval()
    tokenizer = load_tokenizer(translator)
    sources = list(sequence_to_sequence.encode_rows(tokenizer, make_pairs(20, 5), PROBLEM)["input_ids"])
    found = generate(model, sources, 0, [1], 6).ids

    assert len({tuple(ids) for ids in found}) > 3
    assert found == [by_hand(model, source, 6) for source in sources]


def by_hand(model, source: list[int], count: int) -> list[int]:
    ids: list[int] = []
    text = torch.tensor([source])
    with torch.inference_mode():
        while len(ids) < count:
            seen = torch.tensor([[model.config.decoder_start_token_id, *ids]])
            logits = model(input_ids=text, attention_mask=torch.ones_like(text), decoder_input_ids=seen).logits[0, -1]
            logits[0] = -torch.inf
            if int(logits.argmax()) == 1:
                break
            ids.append(int(logits.argmax()))
    return ids


def test_decoder_sees_the_answer_before_the_place_it_is_asked_for(base: Path):
    model, tokenizer = sequence_to_sequence.load_model(base, PROBLEM, True), load_tokenizer(base)
    rows = pd.DataFrame({"text": ["one red cat", "dog"], "label": ["eins rot Katze", "Hund"]})
    encoded = sequence_to_sequence.encode_rows(tokenizer, rows, PROBLEM)[["input_ids", "labels"]]
    batch = sequence_to_sequence.make_collator(tokenizer, model)(encoded.to_dict("records"))
    eins, rot, katze, hund = tokenizer.convert_tokens_to_ids(["eins", "rot", "Katze", "Hund"])
    begin = model.config.decoder_start_token_id

    assert batch["labels"].tolist() == [[eins, rot, katze, 1], [hund, 1, -100, -100]]
    assert batch["decoder_input_ids"].tolist() == [[begin, eins, rot, katze], [begin, hund, 1, 0]]
    with torch.inference_mode():
        own = model(**batch).loss.item()
        logits = model(**{name: values for name, values in batch.items() if name != "labels"}).logits
    assert torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten()).item() == pytest.approx(
        own
    )


def test_long_texts_and_answers_are_cut_and_a_cut_answer_has_no_end(base: Path):
    rows = pd.DataFrame({"text": ["one " * 30, "two"], "label": ["eins", "zwei " * 30]})
    encoded = sequence_to_sequence.encode_rows(load_tokenizer(base), rows, PROBLEM)

    assert list(encoded["is_cut"]) == [True, True]
    assert [len(ids) for ids in encoded["input_ids"]] == [16, 2]
    assert encoded["labels"][0][-1] == 1
    assert len(encoded["labels"][1]) == 12
    assert 1 not in encoded["labels"][1]


def test_model_without_a_decoder_of_its_own_is_refused(tiny_model: Path):
    with pytest.raises(RecipeError, match="model.base is a bert, which problem.kind does not support"):
        sequence_to_sequence.load_model(tiny_model, PROBLEM, True)
