"""Problems other than one label a text: encoding, learning, answers. Alone: pytest tests/tasks/methods/problems/test_problems.py."""

import random
from pathlib import Path

import pandas as pd
import pytest

from schemas.errors import RecipeError
from schemas.recipe.problem import MultiLabelClassification, TokenClassification
from schemas.recipe.training import Training
from schemas.recipe.tuning import FullTuning
from tasks.evaluation import answer
from tasks.methods.metrics.score import group_rows, measure
from tasks.methods.metrics.table import METRICS
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems import multi_label, token_classification
from tasks.methods.problems.encoded import IGNORED
from tasks.methods.problems.token_classification import tag_names
from tasks.methods.rows import content_id
from tasks.training import train
from tests.conftest import FILLER, WORDS

pytestmark = pytest.mark.heavy

ENTITIES = TokenClassification(labels=("bad", "great"), max_tokens=16, overlap_tokens=4)
SEVERAL = MultiLabelClassification(labels=("bad", "fine", "great"), max_tokens=24)
QUICK = Training(epochs=12, batch_size=16, learning_rate=0.004, evaluations_per_epoch=1)


def make_tagged(count: int, seed: int, length: int = 8) -> pd.DataFrame:
    """Bad words are entities of one word; great ones have a second word, one that is fine."""
    choose, rows = random.Random(seed), []
    for _ in range(count):
        words, tags = [], []
        while len(words) < length:
            kind = choose.choice(["bad", "great", None, None])
            if kind is None:
                words, tags = [*words, choose.choice(FILLER)], [*tags, "O"]
            else:
                words, tags = [*words, choose.choice(WORDS[kind])], [*tags, f"B-{kind}"]
                if kind == "great":
                    words, tags = [*words, choose.choice(WORDS["fine"])], [*tags, "I-great"]
        rows.append((words, tags))
    table = pd.DataFrame(rows, columns=["text", "label"])
    return table.assign(id=[content_id(text) for text in table["text"]])


def make_several(count: int, seed: int) -> pd.DataFrame:
    choose, rows = random.Random(seed), []
    for _ in range(count):
        labels = [label for label in SEVERAL.labels if choose.random() < 0.4]
        words = [choose.choice(WORDS[label]) for label in labels for _ in range(2)] + choose.choices(FILLER, k=5)
        choose.shuffle(words)
        rows.append((" ".join(words), labels))
    table = pd.DataFrame(rows, columns=["text", "label"])
    return table.assign(id=[content_id(text) for text in table["text"]])


def learn(folder: Path, work: Path, problem, methods, make) -> None:
    tokenizer = load_tokenizer(folder)
    tokens = tuple(
        methods.encode_rows(tokenizer, make(n, seed), problem)[["input_ids", "labels"]]
        for n, seed in ((240, 1), (60, 2))
    )
    train(folder, tokens, problem, FullTuning(), QUICK, work)


@pytest.fixture(scope="module")
def tagger(tiny_model: Path, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("tagger")
    learn(tiny_model, work, ENTITIES, token_classification, make_tagged)
    return work / "model"


def test_entities_are_learned_and_answered_as_seqeval_counts_them(tagger: Path):
    rows = make_tagged(60, 3)
    answers = answer(tagger, rows, ENTITIES)
    scores = measure(METRICS["entity_f1"], group_rows(answers["truth"], answers["answer"]), 0, ENTITIES.labels)

    assert list(answers["id"]) == list(rows["id"])
    assert list(answers["truth"]) == [" ".join(tags) for tags in rows["label"]]
    assert scores["entity_f1"] > 0.9
    assert answers["probability"].between(0, 1).all()


def test_long_texts_are_answered_word_by_word_across_windows(tagger: Path):
    rows = make_tagged(10, 4, length=60)
    answers = answer(tagger, rows, ENTITIES)
    scores = measure(METRICS["entity_f1"], group_rows(answers["truth"], answers["answer"]), 0, ENTITIES.labels)

    assert scores["entity_f1"] > 0.9


def test_answer_of_a_row_does_not_depend_on_its_batch(tagger: Path):
    rows = make_tagged(70, 5, length=12)
    together, alone = answer(tagger, rows, ENTITIES), answer(tagger, rows.tail(1), ENTITIES)

    assert together["answer"].iloc[-1] == alone["answer"].iloc[0]
    assert together["probability"].iloc[-1] == pytest.approx(alone["probability"].iloc[0], abs=1e-5)


def test_every_word_is_learned_once_at_its_first_token_in_its_best_window(tiny_model: Path):
    rows = make_tagged(5, 6, length=40)
    encoded = token_classification.encode_rows(load_tokenizer(tiny_model), rows, ENTITIES)
    names = tag_names(ENTITIES)

    for row, tags in enumerate(rows["label"]):
        windows = encoded[encoded["row"] == row]
        assert len(windows) > 2
        learned = {
            word: names[label]
            for words, labels in zip(windows["words"], windows["labels"], strict=True)
            for word, label in zip(words, labels, strict=True)
            if label != IGNORED
        }
        counts = [sum(label != IGNORED for label in labels) for labels in windows["labels"]]
        assert sum(counts) == len(tags)
        assert [learned[word] for word in range(len(tags))] == list(tags)
        # What two windows share is divided between them: neither answers at its very edge.
        assert windows["words"].iloc[1][1] == -1
    assert encoded["input_ids"].str.len().max() == 16


def test_words_of_several_tokens_are_tagged_at_the_first(tiny_model: Path):
    tokenizer = load_tokenizer(tiny_model)
    rows = pd.DataFrame({"text": [["awful.room", "the"]], "label": [["B-bad", "O"]]})
    encoded = token_classification.encode_rows(tokenizer, rows, ENTITIES)

    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])[1] == "awful"
    assert encoded["words"][0] == [-1, 0, -1, -1, 1, -1]


def test_entities_are_presented_with_their_words(tagger: Path):
    text = token_classification.split_text("the shop was awful, lovely quiet again")
    rows = pd.DataFrame({"id": ["0"], "text": [text]})
    (found,) = token_classification.present_answers(answer(tagger, rows, ENTITIES), rows, ENTITIES)

    assert text == ["the", "shop", "was", "awful", ",", "lovely", "quiet", "again"]
    assert found["entities"] == [
        {"type": "bad", "text": "awful", "first": 3, "last": 3},
        {"type": "great", "text": "lovely quiet", "first": 5, "last": 6},
    ]


def test_tagger_is_not_judged_on_types_it_does_not_have(tagger: Path):
    other = TokenClassification(labels=("bad", "fine"), max_tokens=16, overlap_tokens=4)

    with pytest.raises(
        RecipeError, match="O, B-bad, I-bad, B-great, I-great, but problem.labels is O, B-bad, I-bad, B-f"
    ):
        answer(tagger, make_tagged(3, 1), other)


def test_windows_that_would_not_move_on_are_refused():
    with pytest.raises(ValueError, match="at most half of max_tokens 40 .*Set overlap_tokens to at most 20"):
        TokenClassification(labels=("a",), max_tokens=40)


def test_several_labels_are_learned_and_given_from_the_threshold_on(tiny_model: Path, tmp_path: Path):
    learn(tiny_model, tmp_path, SEVERAL, multi_label, make_several)
    rows = make_several(80, 3)
    answers = answer(tmp_path / "model", rows, SEVERAL)
    scores = measure(METRICS["label_micro_f1"], group_rows(answers["truth"], answers["answer"]), 0, SEVERAL.labels)
    bits = [["01"[label in labels] for label in SEVERAL.labels] for labels in rows["label"]]

    assert list(answers["truth"]) == ["".join(row) for row in bits]
    assert scores["label_micro_f1"] > 0.95
    wary = answer(tmp_path / "model", rows, SEVERAL.model_copy(update={"threshold": 0.999}))
    assert wary["answer"].str.count("1").sum() < answers["answer"].str.count("1").sum()
    (presented, *_) = multi_label.present_answers(answers, rows, SEVERAL)
    assert presented["labels"] == [label for label in SEVERAL.labels if label in rows["label"][0]]
    assert set(presented["probabilities"]) == set(SEVERAL.labels)
