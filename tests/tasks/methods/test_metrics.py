"""Metrics against scikit-learn, without a network. Alone: pytest tests/tasks/methods/test_metrics.py."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from schemas.judging import MetricName
from tasks.methods.metrics.table import METRICS

LABELS = ["no", "maybe", "yes"]


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, 200)
    return truth, np.where(random.random(200) < 0.3, random.integers(0, 3, 200), truth)


def compute(name: str, answers: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    truth, answer = answers
    return METRICS[name](keep_in_memory=True).compute(predictions=answer, references=truth, labels=LABELS)


def test_overall_scores_equal_scikit_learn(answers):
    truth, answer = answers

    assert compute("accuracy", answers) == {"accuracy": accuracy_score(truth, answer)}
    assert compute("macro_f1", answers) == {"macro_f1": pytest.approx(f1_score(truth, answer, average="macro"))}


@pytest.mark.parametrize(("name", "reference"), [("precision", precision_score), ("recall", recall_score)])
def test_per_class_scores_equal_scikit_learn_and_bear_the_labels(answers, name, reference):
    truth, answer = answers
    expected = reference(truth, answer, average=None)

    assert compute(name, answers) == {
        f"{name}_{label}": pytest.approx(value) for label, value in zip(LABELS, expected, strict=True)
    }


def test_class_that_never_occurs_scores_zero_per_class_and_is_left_out_of_the_mean():
    only_two = np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1])

    assert compute("recall", only_two)["recall_yes"] == 0
    assert compute("macro_f1", only_two) == {"macro_f1": 1.0}


def test_table_holds_what_a_recipe_may_name():
    assert set(METRICS) == set(MetricName.__args__)
