"""Metrics against their references, without a network. Alone: pytest tests/tasks/methods/metrics/test_metrics.py."""

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
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

from schemas.recipe.evaluation import ComparedMetric, MetricName
from schemas.recipe.problem import KINDS
from tasks.methods.metrics.module import ScoreModule
from tasks.methods.metrics.score import group_rows, measure, score_intervals
from tasks.methods.metrics.table import METRICS

LABELS = ("no", "maybe", "yes")
TYPES = ("place", "person")
TAGS = ["O", "O", "B-place", "I-place", "B-person", "I-person"]


def compute(name: str, truth: object, answer: object, labels: tuple[str, ...] = LABELS) -> dict[str, float]:
    module = ScoreModule(METRICS[name], np.asarray(truth), np.asarray(answer))
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


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_correlation_and_f1_of_each_class_equal_scikit_learn(rows: list[tuple[int, int]]):
    truth, answer = np.array(rows).T
    groups = group_rows(truth, answer)
    values = zip(LABELS, f1_score(truth, answer, average=None, labels=[0, 1, 2], zero_division=0), strict=True)

    assert measure(METRICS["mcc"], groups, 0, LABELS)["mcc"] == pytest.approx(
        matthews_corrcoef(truth, answer), abs=1e-9
    )
    assert measure(METRICS["f1"], groups, 0, LABELS) == {f"f1_{label}": pytest.approx(value) for label, value in values}


def make_probabilities(seed: int, num_classes: int, rows: int) -> pd.DataFrame:
    """Answers with probabilities of few values, so that there are ties."""
    random = np.random.default_rng(seed)
    weights_NC = random.integers(1, 6, (rows, num_classes)).astype(float)
    truth_N = np.concatenate([np.arange(num_classes), random.integers(0, num_classes, rows - num_classes)])
    table = pd.DataFrame({"id": range(rows), "truth": truth_N, "answer": weights_NC.argmax(axis=1)})
    shares_NC = weights_NC / weights_NC.sum(axis=1, keepdims=True)
    return table.assign(**{f"p{number}": shares_NC[:, number] for number in range(num_classes)})


@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(10, 60))
def test_scores_of_probabilities_equal_scikit_learn(seed: int, num_classes: int, rows: int):
    answers = make_probabilities(seed, num_classes, rows)
    labels = tuple("abcd"[:num_classes])
    probabilities_NC = answers.filter(regex="p").to_numpy()
    found = {
        name: measure(METRICS[name], group_rows(*METRICS[name].read(answers)), 0, labels)[name]
        for name in ("auroc", "brier")
    }
    one_or_all = probabilities_NC[:, 1] if num_classes == 2 else probabilities_NC
    truth_NC = np.eye(num_classes)[answers["truth"]]

    assert found["auroc"] == pytest.approx(roc_auc_score(answers["truth"], one_or_all, multi_class="ovr"))
    assert found["brier"] == pytest.approx(((truth_NC - probabilities_NC) ** 2).sum(axis=1).mean())


def test_calibration_error_is_the_gap_of_each_bin_weighted_by_its_rows():
    answers = pd.DataFrame({"truth": [0, 0, 0, 1, 1, 0], "p0": [0.9, 0.9, 0.6, 0.6, 0.1, 0.1]})
    score = METRICS["calibration_error"]
    found = measure(score, group_rows(*score.read(answers.assign(p1=1 - answers["p0"]))), 0, ("a", "b"))

    # Sure by 0.9: three of four are right. Sure by 0.6: one of two.
    assert found["calibration_error"] == pytest.approx((4 * abs(0.75 - 0.9) + 2 * abs(0.5 - 0.6)) / 6)


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_of_random_rows_is_that_of_its_definition(seed: int):
    random = np.random.default_rng(seed)
    truth_N, probabilities_NC = random.integers(0, 3, 200), random.dirichlet([0.5] * 3, 200)
    score, error = METRICS["calibration_error"], 0.0
    for low in np.arange(15) / 15:
        sure_N = probabilities_NC.max(axis=1)
        in_bin_N = (sure_N > low) & (sure_N <= low + 1 / 15)
        if in_bin_N.any():
            right = (probabilities_NC.argmax(axis=1) == truth_N)[in_bin_N].mean()
            error += in_bin_N.mean() * abs(right - sure_N[in_bin_N].mean())
    sums_RS = np.asarray(score.counts(truth_N, probabilities_NC, LABELS).sum(axis=0))

    assert score.values(sums_RS, LABELS)["calibration_error"][0] == pytest.approx(error)


def test_ranking_of_a_single_class_is_no_number():
    truth_N, probabilities_NC = np.zeros(4, dtype=int), np.full((4, 3), 1 / 3)
    score = METRICS["auroc"]
    sums_RS = np.asarray(score.counts(truth_N, probabilities_NC, LABELS).sum(axis=0))

    assert np.isnan(score.values(sums_RS, LABELS)["auroc"])


def test_correlation_of_many_rows_does_not_overflow():
    truth_N = np.arange(100_000) % 2
    answer_N = np.where(np.arange(100_000) % 10 == 0, 1 - truth_N, truth_N)

    assert compute("mcc", list(answer_N), list(truth_N))["mcc"] == pytest.approx(matthews_corrcoef(truth_N, answer_N))


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
    found = measure(score, group_rows(*score.read(answers)), 0, ())

    assert found == {"answer_log_likelihood": pytest.approx(-10 / 11), "perplexity": pytest.approx(np.exp(10 / 11))}
    low, high = score_intervals([score], answers, ())["answer_log_likelihood"]
    assert -1 <= low < -10 / 11 < high <= -0.5


def test_scores_are_modules_of_evaluate():
    module = ScoreModule(METRICS["answer_log_likelihood"], np.array([1]), np.array([-1.5]))
    found = module.compute(predictions=[-1.5, -0.5], references=[1, 1], labels=())
    assert found["answer_log_likelihood"] == -1.0
    assert compute("accuracy", [0, 1, 2, 0], [0, 1, 1, 0]) == {"accuracy": 0.75}
    assert compute("entity_f1", ["B-place O"], ["B-place O"], TYPES)["entity_f1"] == 1.0


def test_class_that_never_occurs_scores_zero_per_class_and_is_left_out_of_the_mean():
    assert compute("recall", [0, 1, 0, 1], [0, 1, 0, 1])["recall_yes"] == 0
    assert compute("macro_f1", [0, 1, 0, 1], [0, 1, 0, 1]) == {"macro_f1": 1.0}


def test_table_holds_what_a_recipe_may_name():
    named = {name for kind in KINDS.values() for name in kind.METRICS}

    assert set(METRICS) == named == {*ComparedMetric.__args__, *MetricName.__args__}
    num_sums = dict.fromkeys(("accuracy", "macro_f1", "mcc", "entity_f1", "label_micro_f1", "label_macro_f1"), 9)
    num_sums |= dict.fromkeys(("subset_accuracy", "answer_log_likelihood", "finished", "rouge_l"), 2)
    num_sums |= {"bleu": 10, "bleu_zh": 10, "auroc": len(LABELS) * 2 * 4}
    for name, width in num_sums.items():
        assert name in METRICS[name].values(np.ones((1, width)), LABELS)
