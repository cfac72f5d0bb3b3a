"""Metrics against their references, without a network. Alone: pytest tests/tasks/methods/test_metrics.py."""

import numpy as np
import pandas as pd
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.metrics import precision_score as seqeval_precision
from seqeval.metrics import recall_score as seqeval_recall
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from schemas.judging import METRICS_OF, ComparedMetric, MetricName
from tasks.methods.metrics.module import ScoreModule
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules.resampling import group_rows, measure, score_intervals

LABELS = ("no", "maybe", "yes")
TYPES = ("place", "person")
TAGS = ["O", "O", "B-place", "I-place", "B-person", "I-person"]


def compute(name: str, truth: object, answer: object, labels: tuple[str, ...] = LABELS) -> dict[str, float]:
    kind = "string" if isinstance(truth[0], str) else "int64"
    module = ScoreModule(METRICS[name], kind, kind)
    return module.compute(predictions=answer, references=truth, labels=labels)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_classification_scores_equal_scikit_learn(rows: list[tuple[int, int]]):
    truth, answer = np.array(rows).T
    groups = group_rows(truth, answer)
    by_class = {"average": None, "labels": [0, 1, 2], "zero_division": 0}

    assert measure(METRICS["accuracy"], groups, 0, LABELS) == {"accuracy": pytest.approx(accuracy_score(truth, answer))}
    expected = f1_score(truth, answer, average="macro", zero_division=0)
    assert measure(METRICS["macro_f1"], groups, 0, LABELS) == {"macro_f1": pytest.approx(expected)}
    for name, reference in [("precision", precision_score), ("recall", recall_score)]:
        values = zip(LABELS, reference(truth, answer, **by_class), strict=True)
        expected = {f"{name}_{label}": pytest.approx(value) for label, value in values}
        assert measure(METRICS[name], groups, 0, LABELS) == expected


@st.composite
def tagged(draw):
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=12))
    tags = st.sampled_from(TAGS)
    return [[draw(st.lists(tags, min_size=n, max_size=n)) for n in lengths] for _ in range(2)]


@given(tagged())
@pytest.mark.filterwarnings("ignore")
def test_entity_scores_equal_seqeval(rows: list[list[list[str]]]):
    truth, answer = rows
    joined = [np.array([" ".join(tags) for tags in side], dtype=object) for side in rows]
    found = measure(METRICS["entity_f1"], group_rows(*joined), 0, TYPES)

    assert found["entity_f1"] == pytest.approx(seqeval_f1(truth, answer, zero_division=0))
    assert found["entity_precision"] == pytest.approx(seqeval_precision(truth, answer, zero_division=0))
    assert found["entity_recall"] == pytest.approx(seqeval_recall(truth, answer, zero_division=0))
    there = sorted({tag[2:] for side in rows for tags in side for tag in tags if tag != "O"})
    by_type = seqeval_f1(truth, answer, average=None, zero_division=0) if there else []
    assert [found[f"entity_f1_{kind}"] for kind in there] == pytest.approx(list(by_type))


bits = st.text("01", min_size=3, max_size=3)


@given(st.lists(st.tuples(bits, bits), min_size=1, max_size=30))
def test_scores_of_several_labels_equal_scikit_learn(rows: list[tuple[str, str]]):
    truth, answer = (np.array(side, dtype=object) for side in zip(*rows, strict=True))
    arrays = [np.array([[int(bit) for bit in row] for row in side]) for side in (truth, answer)]
    found = measure(METRICS["label_micro_f1"], group_rows(truth, answer), 0, LABELS)

    for average in ("micro", "macro"):
        expected = f1_score(*arrays, average=average, zero_division=0)
        assert found[f"label_{average}_f1"] == pytest.approx(expected)
    exact = measure(METRICS["subset_accuracy"], group_rows(truth, answer), 0, LABELS)
    assert exact == {"subset_accuracy": pytest.approx(accuracy_score(*arrays))}


words = st.lists(st.sampled_from(["the", "The", "cat", "sat.", "on", "a", "mat", "!", "\u5929"]), max_size=9).map(
    " ".join
)
pairs = st.lists(st.tuples(words, words), min_size=1, max_size=12)


@settings(deadline=None)
@given(pairs)
def test_rouge_l_is_the_mean_of_rouge_score(rows: list[tuple[str, str]]):
    truth, answer = (np.array(side, dtype=object) for side in zip(*rows, strict=True))
    scorer = RougeScorer(["rougeL"])
    expected = np.mean([scorer.score(one, other)["rougeL"].fmeasure for one, other in rows])

    assert measure(METRICS["rouge_l"], group_rows(truth, answer), 0, ()) == {"rouge_l": pytest.approx(expected)}


@settings(deadline=None)
@given(pairs, st.sampled_from([("bleu", "13a"), ("bleu_zh", "zh")]))
def test_bleu_is_that_of_sacrebleu_over_all_rows(rows: list[tuple[str, str]], chosen: tuple[str, str]):
    truth, answer = (np.array(side, dtype=object) for side in zip(*rows, strict=True))
    name, tokenizer = chosen
    expected = sacrebleu.corpus_bleu(list(answer), [list(truth)], tokenize=tokenizer).score / 100

    assert measure(METRICS[name], group_rows(truth, answer), 0, ()) == {name: pytest.approx(expected)}


def test_bleu_counts_chinese_by_characters():
    truth, answer = np.array([["天天下雨了。"], ["今天下雨了。"]], dtype=object)

    assert measure(METRICS["bleu_zh"], group_rows(truth, answer), 0, ())["bleu_zh"] > 0.6
    assert measure(METRICS["bleu"], group_rows(truth, answer), 0, ())["bleu"] == 0


def test_likelihood_is_a_mean_over_tokens_and_not_over_rows():
    answers = pd.DataFrame({"num_tokens": [1, 9, 1], "log_likelihood": [-0.5, -9.0, -0.5]})
    score = METRICS["answer_log_likelihood"]
    found = measure(score, group_rows(*(answers[column] for column in score.columns)), 0, ())

    assert found == {"answer_log_likelihood": pytest.approx(-10 / 11), "perplexity": pytest.approx(np.exp(10 / 11))}
    low, high = score_intervals([score], answers, ())["answer_log_likelihood"]
    assert -1 <= low < -10 / 11 < high <= -0.5


def test_scores_are_modules_of_evaluate():
    module = ScoreModule(METRICS["answer_log_likelihood"], "int64", "float64")
    found = module.compute(predictions=[-1.5, -0.5], references=[1, 1], labels=())
    assert found["answer_log_likelihood"] == -1.0
    assert compute("accuracy", [0, 1, 2, 0], [0, 1, 1, 0]) == {"accuracy": 0.75}
    assert compute("entity_f1", ["B-place O"], ["B-place O"], TYPES)["entity_f1"] == 1.0


def test_class_that_never_occurs_scores_zero_per_class_and_is_left_out_of_the_mean():
    assert compute("recall", [0, 1, 0, 1], [0, 1, 0, 1])["recall_yes"] == 0
    assert compute("macro_f1", [0, 1, 0, 1], [0, 1, 0, 1]) == {"macro_f1": 1.0}


def test_table_holds_what_a_recipe_may_name():
    named = {name for names in METRICS_OF.values() for name in names}

    assert set(METRICS) == named == {*ComparedMetric.__args__, *MetricName.__args__}
    num_sums = dict.fromkeys(("subset_accuracy", "answer_log_likelihood", "finished", "rouge_l"), 2)
    num_sums |= {"bleu": 10, "bleu_zh": 10}
    for name in ComparedMetric.__args__:
        assert name in METRICS[name].values(np.ones((1, num_sums.get(name, 9))), LABELS)
