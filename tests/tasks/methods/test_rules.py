"""The gate's statistics and decisions. Alone: pytest tests/tasks/methods/test_rules.py."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from schemas.judging import Gate
from tasks.methods.rules import resampling
from tasks.methods.rules.judge import judge, rows_needed

GATE = Gate(metric="accuracy", at_least=0.5, non_inferiority_margin=0.03, resamples=2_000)


def answers_with_accuracy(truth_N: np.ndarray, wrong_N: np.ndarray) -> np.ndarray:
    return np.where(wrong_N, (truth_N + 1) % 3, truth_N)


def first_wrong(rows: int, wrong: int) -> np.ndarray:
    return np.arange(rows) < wrong


class_numbers = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=60)


@given(class_numbers)
def test_scores_from_cells_equal_scikit_learn(rows: list[tuple[int, int, int]]):
    truth_N, candidate_N, champion_N = np.array(rows).T
    cells, counts = resampling.count_cells([truth_N, candidate_N, champion_N], 4)

    for name, reference in [
        ("accuracy", accuracy_score),
        ("macro_f1", lambda truth, answer: f1_score(truth, answer, average="macro", zero_division=0)),
    ]:
        score = resampling.SCORES[name]
        for model, answer_N in [(1, candidate_N), (2, champion_N)]:
            confusion = resampling.confusion_of(cells, counts[None], model, 4)
            assert score(confusion)[0] == pytest.approx(reference(truth_N, answer_N))


def test_every_score_lies_in_its_interval_and_scores_by_class_equal_scikit_learn():
    random = np.random.default_rng(5)
    truth_N = random.integers(0, 3, 400)
    answer_N = answers_with_accuracy(truth_N, random.random(400) < 0.3)
    confusion_CC = confusion_matrix(truth_N, answer_N)
    intervals = resampling.score_intervals(truth_N, answer_N, ("a", "b", "c"))
    precision_C, recall_C, _, _ = precision_recall_fscore_support(truth_N, answer_N)

    assert resampling.precision(confusion_CC) == pytest.approx(precision_C)
    assert resampling.recall(confusion_CC) == pytest.approx(recall_C)
    for name, value in [("accuracy", accuracy_score(truth_N, answer_N)), ("recall_b", recall_C[1])]:
        assert intervals[name][0] < value < intervals[name][1]
    half_width = (intervals["accuracy"][1] - intervals["accuracy"][0]) / 2
    assert half_width == pytest.approx(1.96 * np.sqrt(0.7 * 0.3 / 400), rel=0.1)


def test_resampling_cells_agrees_with_resampling_rows():
    random = np.random.default_rng(0)
    truth_N = random.integers(0, 3, 300)
    candidate_N = answers_with_accuracy(truth_N, random.random(300) < 0.2)
    cells, counts = resampling.count_cells([truth_N, candidate_N], 3)

    chunks = resampling.resample(cells, counts, 3, 4_000, seed=1)
    by_cells = np.concatenate([resampling.macro_f1(confusion) for (confusion,) in chunks])
    picks = random.integers(0, 300, (1_000, 300))
    by_rows = np.array([f1_score(truth_N[pick], candidate_N[pick], average="macro") for pick in picks])

    assert by_cells.mean() == pytest.approx(by_rows.mean(), abs=0.003)
    assert by_cells.std() == pytest.approx(by_rows.std(), rel=0.1)


def test_many_classes_fit_in_memory():
    random = np.random.default_rng(2)
    truth_N = random.integers(0, 77, 3_000)
    answer_N = np.where(random.random(3_000) < 0.1, random.integers(0, 77, 3_000), truth_N)
    tracemalloc.start()

    verdict = judge(GATE, truth_N, answer_N, truth_N, 77)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert verdict.decision == "refuse"
    assert peak_bytes < 300e6


def test_equal_models_pass_a_margin_and_are_refused_a_gain():
    truth_N = np.arange(300) % 3

    assert judge(GATE, truth_N, truth_N, truth_N, 3).decision == "pass"
    gain = Gate(metric="accuracy", at_least=0.5, required_gain=0.01, resamples=2_000)
    assert judge(gain, truth_N, truth_N, truth_N, 3).decision == "refuse"


def test_clearly_worse_candidate_is_refused_and_clearly_better_one_passes():
    truth_N = np.arange(600) % 3
    good_N = answers_with_accuracy(truth_N, first_wrong(600, 30))
    bad_N = answers_with_accuracy(truth_N, first_wrong(600, 150))

    assert judge(GATE, truth_N, bad_N, good_N, 3).decision == "refuse"
    assert judge(GATE, truth_N, good_N, bad_N, 3).decision == "pass"


def test_few_discordant_rows_on_both_sides_are_undecidable_with_the_rows_that_would_do():
    truth_N = np.arange(90) % 3
    one_N = answers_with_accuracy(truth_N, first_wrong(90, 8))
    other_N = answers_with_accuracy(truth_N, first_wrong(90, 8)[::-1])

    verdict = judge(GATE, truth_N, one_N, other_N, 3)

    assert verdict.decision == "undecidable"
    assert verdict.rows_needed is not None
    assert verdict.rows_needed > 90


def test_without_a_champion_only_the_floor_is_asked():
    truth_N = np.arange(90) % 3
    poor_N = answers_with_accuracy(truth_N, first_wrong(90, 60))

    assert [rule.name for rule in judge(GATE, truth_N, truth_N, None, 3).rules] == ["floor"]
    assert judge(GATE, truth_N, truth_N, None, 3).decision == "pass"
    assert judge(GATE, truth_N, poor_N, None, 3).decision == "refuse"


def test_floor_is_judged_on_the_score_itself():
    truth_N = np.arange(100) % 2
    half_N = np.where(np.arange(100) < 50, truth_N, 1 - truth_N)

    floor = judge(GATE, truth_N, half_N, None, 2).rules[0]

    assert (floor.measured, floor.limit, floor.decision) == (0.5, 0.5, "pass")
    assert floor.interval[0] < 0.5 < floor.interval[1]


def test_no_rows_and_impossible_answers_never_pass():
    empty = np.array([], dtype=int)
    with pytest.raises(ValueError, match="no rows"):
        judge(GATE, empty, empty, None, 3)
    with pytest.raises(ValueError, match="outside"):
        judge(GATE, np.array([0, 1]), np.array([0, 5]), None, 3)


def test_rows_needed_falls_with_the_square_of_the_distance():
    near = rows_needed(difference=0.00, limit=-0.01, width=0.05, rows=1_000, confidence=0.95)
    far = rows_needed(difference=0.02, limit=-0.01, width=0.05, rows=1_000, confidence=0.95)

    assert near is not None
    assert far is not None
    assert near / far == pytest.approx(9, rel=0.01)
    assert rows_needed(difference=-0.01, limit=-0.01, width=0.05, rows=1_000, confidence=0.95) is None
