"""The gate's statistics and decisions. Alone: pytest tests/tasks/methods/rules/test_rules.py."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest
from sklearn.metrics import accuracy_score, f1_score

from schemas.errors import DataError
from schemas.recipe.gate import Budgets, Gate, Slices
from schemas.records.references import CostsRef, ModelCosts
from tasks.methods.metrics import score
from tasks.methods.metrics.table import METRICS
from tasks.methods.rules.decision import decide
from tasks.methods.rules.evidence import Evidence
from tasks.methods.rules.paired import decide_by_bounds, detectable, rows_needed
from tasks.methods.rules.slices import adjust_by_holm

CLASSES = ("a", "b", "c")
MANY = tuple(f"c{number}" for number in range(77))
GATE = Gate(metric="accuracy", at_least=0.5, non_inferiority_margin=0.03, resamples=2_000)


def as_table(truth_N: np.ndarray, answer_N: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"truth": truth_N, "answer": answer_N})


def verdict_of(gate: Gate, truth_N, candidate_N, champion_N, labels, **more):
    champion = None if champion_N is None else as_table(truth_N, champion_N)
    evidence = Evidence(labels, as_table(truth_N, candidate_N), champion, has_classes=bool(labels), **more)
    return decide(gate, evidence)


def answers_with_accuracy(truth_N: np.ndarray, wrong_N: np.ndarray) -> np.ndarray:
    return np.where(wrong_N, (truth_N + 1) % 3, truth_N)


def first_wrong(rows: int, wrong: int) -> np.ndarray:
    return np.arange(rows) < wrong


def test_resampling_groups_agrees_with_resampling_rows():
    random = np.random.default_rng(0)
    truth_N = random.integers(0, 3, 300)
    candidate_N = answers_with_accuracy(truth_N, random.random(300) < 0.2)
    groups = score.group_rows(truth_N, candidate_N)

    (drawn,) = score.resample(METRICS["macro_f1"], groups, CLASSES, 4_000, seed=1)
    picks = random.integers(0, 300, (1_000, 300))
    by_rows = np.array([f1_score(truth_N[pick], candidate_N[pick], average="macro") for pick in picks])

    assert drawn["macro_f1"].mean() == pytest.approx(by_rows.mean(), abs=0.003)
    assert drawn["macro_f1"].std() == pytest.approx(by_rows.std(), rel=0.1)


def test_models_are_compared_on_the_same_draws():
    random = np.random.default_rng(0)
    truth_N = random.integers(0, 3, 300)
    candidate_N = answers_with_accuracy(truth_N, random.random(300) < 0.2)
    one_worse_N = candidate_N.copy()
    one_worse_N[np.flatnonzero(candidate_N == truth_N)[0]] += 1
    one_worse_N %= 3

    groups = score.group_rows(truth_N, candidate_N, one_worse_N)
    one, other = score.resample(METRICS["accuracy"], groups, CLASSES, 500, seed=1)

    assert (one["accuracy"] >= other["accuracy"]).all()
    assert (one["accuracy"] - other["accuracy"]).mean() == pytest.approx(1 / 300, rel=0.2)


def test_half_width_of_an_interval_is_that_of_the_binomial():
    random = np.random.default_rng(5)
    truth_N = random.integers(0, 3, 400)
    answer_N = answers_with_accuracy(truth_N, random.random(400) < 0.3)
    answers = pd.DataFrame({"truth": truth_N, "answer": answer_N})
    low, high = score.score_intervals([METRICS["accuracy"]], answers, CLASSES)["accuracy"]

    assert low < accuracy_score(truth_N, answer_N) < high
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.7 * 0.3 / 400), rel=0.1)


def test_answers_that_are_strings_are_judged_too():
    truth_N = np.array(["B-a O", "O B-b", "O O"] * 50, dtype=object)
    worse_N = truth_N.copy()
    worse_N[:45] = "O O"
    gate = Gate(metric="entity_f1", at_least=0.5, non_inferiority_margin=0.03, resamples=2_000)

    assert verdict_of(gate, truth_N, truth_N, worse_N, ("a", "b")).decision == "pass"
    assert verdict_of(gate, truth_N, worse_N, truth_N, ("a", "b")).decision == "refuse"


def test_many_classes_fit_in_memory():
    random = np.random.default_rng(2)
    truth_N = random.integers(0, 77, 3_000)
    answer_N = np.where(random.random(3_000) < 0.1, random.integers(0, 77, 3_000), truth_N)
    tracemalloc.start()

    verdict = verdict_of(GATE, truth_N, answer_N, truth_N, MANY)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert verdict.decision == "refuse"
    assert peak_bytes < 300e6


def test_equal_models_pass_a_margin_and_are_refused_a_gain():
    truth_N = np.arange(400) % 3

    assert verdict_of(GATE, truth_N, truth_N, truth_N, CLASSES).decision == "pass"
    gain = Gate(metric="accuracy", at_least=0.5, required_gain=0.01, resamples=2_000)
    assert verdict_of(gain, truth_N, truth_N, truth_N, CLASSES).decision == "refuse"


def test_clearly_worse_candidate_is_refused_and_clearly_better_one_passes():
    truth_N = np.arange(600) % 3
    good_N = answers_with_accuracy(truth_N, first_wrong(600, 30))
    bad_N = answers_with_accuracy(truth_N, first_wrong(600, 150))

    assert verdict_of(GATE, truth_N, bad_N, good_N, CLASSES).decision == "refuse"
    assert verdict_of(GATE, truth_N, good_N, bad_N, CLASSES).decision == "pass"


def test_few_discordant_rows_on_both_sides_are_undecidable_with_the_rows_that_would_do():
    truth_N = np.arange(90) % 3
    one_N = answers_with_accuracy(truth_N, first_wrong(90, 8))
    other_N = answers_with_accuracy(truth_N, first_wrong(90, 8)[::-1])

    verdict = verdict_of(GATE, truth_N, one_N, other_N, CLASSES)

    assert verdict.decision == "undecidable"
    assert verdict.rows_needed is not None
    assert verdict.rows_needed > 90


def test_without_a_champion_only_the_floor_is_asked():
    truth_N = np.arange(90) % 3
    poor_N = answers_with_accuracy(truth_N, first_wrong(90, 60))

    assert [rule.name for rule in verdict_of(GATE, truth_N, truth_N, None, CLASSES).rules] == ["floor"]
    assert verdict_of(GATE, truth_N, truth_N, None, CLASSES).decision == "pass"
    assert verdict_of(GATE, truth_N, poor_N, None, CLASSES).decision == "refuse"


def test_floor_is_judged_on_the_score_itself():
    truth_N = np.arange(100) % 2
    half_N = np.where(np.arange(100) < 50, truth_N, 1 - truth_N)

    floor = verdict_of(GATE, truth_N, half_N, None, CLASSES[:2]).rules[0]

    assert (floor.measured, floor.limit, floor.decision) == (0.5, 0.5, "pass")
    assert floor.interval[0] < 0.5 < floor.interval[1]


def test_no_rows_and_impossible_answers_never_pass():
    empty = np.array([], dtype=int)
    with pytest.raises(ValueError, match="no rows"):
        verdict_of(GATE, empty, empty, None, CLASSES)
    with pytest.raises(ValueError, match="outside"):
        verdict_of(GATE, np.array([0, 1]), np.array([0, 5]), None, CLASSES)


def test_rows_needed_falls_with_the_square_of_the_distance():
    near, far = (rows_needed(distance, error=0.015, rows=1_000, gate=GATE) for distance in (0.01, -0.03))

    assert near is not None
    assert far is not None
    assert near / far == pytest.approx(9, rel=0.01)
    assert rows_needed(0.0, error=0.015, rows=1_000, gate=GATE) is None


def test_rows_that_would_decide_show_the_difference_that_is_there():
    """Sample size and detectable difference are two sides of one formula; with 10 % discordant rows as published."""
    error = np.sqrt(0.10 - 0.01**2) / np.sqrt(1_000)
    rows = rows_needed(0.01, error, 1_000, GATE.model_copy(update={"confidence": 0.95}))

    assert rows == pytest.approx(6_180, rel=0.01)
    assert detectable(error * np.sqrt(1_000 / rows), GATE) == pytest.approx(0.01, rel=0.001)


@pytest.mark.parametrize(
    ("gained", "lost", "decision"),
    [(14, 6, "undecidable"), (15, 5, "pass"), (5, 15, "refuse"), (0, 0, "undecidable"), (5, 0, "pass")],
)
def test_more_accurate_at_all_is_decided_by_mcnemars_exact_test(gained: int, lost: int, decision: str):
    truth_N = np.arange(300) % 3
    candidate_N = answers_with_accuracy(truth_N, first_wrong(300, lost))
    champion_N = answers_with_accuracy(truth_N, first_wrong(300, gained)[::-1])
    gate = GATE.model_copy(update={"non_inferiority_margin": None, "required_gain": 0.0})
    pair = verdict_of(gate, truth_N, candidate_N, champion_N, CLASSES).rules[1]
    p = binomtest(max(gained, lost), gained + lost, alternative="greater").pvalue if gained + lost else 1.0

    assert pair.decision == decision
    assert (p <= 0.05) == (decision != "undecidable")
    assert f"{gained} rows gained, {lost} lost" in pair.reason


def test_bound_that_equals_the_limit_shows_nothing():
    """Scores of few rows take few values, and the bound is often one of them."""
    assert decide_by_bounds(-0.03, 0.1, -0.03) == "undecidable"
    assert decide_by_bounds(-0.03 + 1e-12, 0.1, -0.03) == "undecidable"
    assert decide_by_bounds(-0.02, 0.1, -0.03) == "pass"
    assert decide_by_bounds(-0.1, -0.03, -0.03) == "undecidable"
    assert decide_by_bounds(-0.1, -0.04, -0.03) == "refuse"
    assert decide_by_bounds(float("nan"), 0.1, -0.03) == "undecidable"


def test_year_of_margins_does_not_wear_a_model_down():
    """Each champion is as good as the one before it by the margin's measure; the third is worse than the first."""
    truth_N = np.arange(3_000) % 3
    best_N, worse_N, worst_N = (answers_with_accuracy(truth_N, first_wrong(3_000, wrong)) for wrong in (300, 360, 420))
    verdict = verdict_of(GATE, truth_N, worst_N, worse_N, CLASSES, earlier={"0" * 64: as_table(truth_N, best_N)})

    assert [(rule.name, rule.decision) for rule in verdict.rules] == [
        ("floor", "pass"),
        ("non-inferiority", "pass"),
        ("no-creep", "refuse"),
    ]
    assert "the best earlier champion's (000000000000)" in verdict.rules[2].reason


def test_best_of_the_earlier_champions_is_the_opponent():
    truth_N = np.arange(300) % 3
    tables = {name: as_table(truth_N, answers_with_accuracy(truth_N, first_wrong(300, wrong))) for name, wrong in (("a", 60), ("b", 3), ("c", 30))}  # fmt: skip
    champion_N = answers_with_accuracy(truth_N, first_wrong(300, 40))
    rules = verdict_of(GATE, truth_N, truth_N, champion_N, CLASSES, earlier=tables).rules
    (rule,) = (rule for rule in rules if rule.name == "no-creep")

    assert rule.measured == pytest.approx(0.01)
    # A champion that beats all of them is opponent enough.
    assert len(verdict_of(GATE, truth_N, truth_N, truth_N, CLASSES, earlier=tables).rules) == 2


def test_guard_rails_hold_without_a_champion_too():
    truth_N = np.arange(300) % 3
    good_N = answers_with_accuracy(truth_N, first_wrong(300, 30))
    words = {"words": as_table(truth_N, answers_with_accuracy(truth_N, first_wrong(300, 32)[::-1]))}
    commonest = {"commonest": as_table(truth_N, np.zeros(300, dtype=int))}

    assert verdict_of(GATE, truth_N, good_N, None, CLASSES, baselines=commonest).decision == "pass"
    assert verdict_of(GATE, truth_N, good_N, None, CLASSES, baselines=commonest | words).decision == "undecidable"
    assert verdict_of(GATE, truth_N, np.zeros(300, dtype=int), None, CLASSES, baselines=words).decision == "refuse"


def test_label_that_is_given_up_for_the_mean_refuses():
    random = np.random.default_rng(0)
    truth_N = random.integers(0, 3, 900)
    champion_N = answers_with_accuracy(truth_N, random.random(900) < 0.2)
    # Better on two labels, much worse on the third.
    candidate_N = np.where((truth_N == 2) & (random.random(900) < 0.5), 0, truth_N)
    gate = GATE.model_copy(update={"slices": Slices(by=("label",), margin=0.1)})
    rules = {rule.name: rule for rule in verdict_of(gate, truth_N, candidate_N, champion_N, CLASSES).rules}

    assert rules["non-inferiority"].decision == "pass"
    assert {name: rule.decision for name, rule in rules.items() if name.startswith("slice")} == {
        "slice: label a": "pass",
        "slice: label b": "pass",
        "slice: label c": "refuse",
    }


def test_lengths_are_cut_into_thirds_and_small_slices_are_left_out():
    truth_N = np.arange(90) % 3
    gate = GATE.model_copy(update={"slices": Slices(by=("length",), margin=0.1, min_rows=30)})
    names = [r.name for r in verdict_of(gate, truth_N, truth_N, truth_N, CLASSES, lengths_N=np.arange(90)).rules]
    fewer = gate.model_copy(update={"slices": Slices(by=("length", "label"), margin=0.1, min_rows=31)})

    assert names[2:] == ["slice: short texts", "slice: medium texts", "slice: long texts"]
    assert len(verdict_of(fewer, truth_N, truth_N, truth_N, CLASSES, lengths_N=np.arange(90)).rules) == 2


def test_so_few_resamples_that_no_slice_could_refuse_are_undecidable():
    truth_N = np.arange(3 * 40) % 3
    few = Gate(metric="accuracy", at_least=0, non_inferiority_margin=0.5, confidence=0.9999, resamples=10_000)
    gate = few.model_copy(update={"slices": Slices(by=("label",), margin=0.1)})
    rules = verdict_of(gate, truth_N, (truth_N + 1) % 3, truth_N, CLASSES).rules

    assert {rule.decision for rule in rules if rule.name.startswith("slice")} == {"undecidable"}
    assert "so few gate.resamples" in rules[-1].reason


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_correction_is_holms(p_values: list[float]):
    given_p = {str(number): p for number, p in enumerate(p_values)}
    found = adjust_by_holm(given_p)
    rejected = {name for name, p in found.items() if p <= 0.05}
    expected, ordered = set(), sorted(given_p, key=given_p.__getitem__)
    for place, name in enumerate(ordered):
        if given_p[name] > 0.05 / (len(ordered) - place):
            break
        expected.add(name)

    assert rejected == expected


def test_truth_of_a_single_class_is_judged():
    """Of macro F1, one answer of another class would halve the mean, so 120 rows that lack it show nothing."""
    truth_N = np.zeros(120, dtype=int)
    gate = GATE.model_copy(update={"metric": "macro_f1"})
    wrong_N = np.where(first_wrong(120, 60), 1, 0)

    assert verdict_of(GATE, truth_N, truth_N, truth_N, CLASSES).decision == "pass"
    assert verdict_of(gate, truth_N, truth_N, truth_N, CLASSES).decision == "undecidable"
    assert verdict_of(gate, truth_N, wrong_N, truth_N, CLASSES).decision == "refuse"


def test_opponent_whose_score_is_zero_can_be_beaten():
    truth_N = np.arange(120) % 3
    never_N = (truth_N + 1) % 3
    gate = GATE.model_copy(update={"metric": "macro_f1", "non_inferiority_margin": None, "required_gain": 0.1})
    verdict = verdict_of(gate, truth_N, truth_N, never_N, CLASSES, baselines={"commonest": as_table(truth_N, never_N)})

    assert verdict.decision == "pass"
    assert [rule.measured for rule in verdict.rules] == [1.0, 1.0, 1.0]
    assert verdict_of(gate, truth_N, never_N, never_N, CLASSES).decision == "refuse"


def test_score_that_is_no_number_decides_nothing():
    gate = Gate(metric="answer_log_likelihood", at_least=-5, non_inferiority_margin=0.1, resamples=1_000)
    table = as_table(np.arange(60), np.arange(60)).assign(log_likelihood=np.nan, num_tokens=2)

    for champion in (None, table):
        with pytest.raises(DataError, match="answer_log_likelihood is undefined on these 60 test rows"):
            decide(gate, Evidence((), table, champion))


def test_ranking_of_one_label_only_decides_nothing():
    gate = Gate(metric="auroc", at_least=0.5, non_inferiority_margin=0.1, resamples=1_000)
    table = sure_answers(np.zeros(60, dtype=int), np.zeros(60, dtype=int), 0.8)

    with pytest.raises(DataError, match="auroc is undefined"):
        decide(gate, Evidence(CLASSES, table, table))


def test_rows_that_lost_nothing_may_have_missed_a_loss():
    """At n rows without a loss, up to 1 - 0.05^(1/n) of all rows may be lost ones: 3 points at 98 rows."""
    decisions = {}
    for rows in (50, 90, 110):
        truth_N = np.arange(rows) % 3
        rule = verdict_of(GATE, truth_N, truth_N, truth_N, CLASSES).rules[1]
        decisions[rows] = rule.decision
        assert rule.interval[0] == pytest.approx(-(1 - 0.05 ** (1 / rows)), rel=0.06)
        assert rule.detectable > 0
        assert rule.rows_needed is None or rule.rows_needed == pytest.approx(98, rel=0.08)

    assert decisions == {50: "undecidable", 90: "undecidable", 110: "pass"}


@pytest.mark.parametrize("rows", [120, 170])
def test_few_lost_rows_are_judged_by_the_exact_bound(rows: int):
    """Clopper and Pearson's, which no candidate that is worse by the margin passes more often than in 5 % of all sets."""
    truth_N = np.arange(rows) % 3
    decisions, exact = [], []
    for lost in range(9):
        candidate_N = answers_with_accuracy(truth_N, first_wrong(rows, lost))
        decisions.append(verdict_of(GATE, truth_N, candidate_N, truth_N, CLASSES).rules[1].decision == "pass")
        exact.append(beta.ppf(0.95, lost + 1, rows - lost) < 0.03)

    assert decisions == exact
    assert binom.pmf(range(9), rows, 0.03)[decisions].sum() <= 0.05


def test_rows_of_a_rare_class_that_were_hardly_lost_show_little():
    """Ten rows of 500 have the class; one lost is already a twentieth of its F1."""
    truth_N = (np.arange(500) < 10).astype(int)
    candidate_N = np.where(np.arange(500) < 1, 0, truth_N)
    gate = GATE.model_copy(update={"metric": "macro_f1", "resamples": 4_000})
    rule = verdict_of(gate, truth_N, candidate_N, truth_N, ("common", "rare")).rules[1]
    (drawn,) = score.resample(METRICS["macro_f1"], score.group_rows(truth_N, candidate_N), ("c", "r"), 4_000, 0)

    assert rule.interval[0] < np.quantile(drawn["macro_f1"] - 1, 0.05) - 0.03
    assert rule.decision == "undecidable"


@pytest.mark.parametrize(
    ("metric", "labels", "row"),
    [
        ("entity_f1", ("a", "b"), "B-a O"),
        ("entity_f1", ("a", "b"), "O O"),
        ("label_micro_f1", ("a", "b"), "10"),
        ("subset_accuracy", ("a", "b"), "10"),
        ("rouge_l", (), "a few words"),
        ("bleu", (), "a few words more than four"),
    ],
)
def test_equal_answers_that_are_texts_need_rows_too(metric: str, labels: tuple[str, ...], row: str):
    gate = Gate(metric=metric, at_least=0, non_inferiority_margin=0.03, resamples=1_000)
    truths = {
        rows: np.array([row, "B-b O" if metric == "entity_f1" else row] * rows, dtype=object) for rows in (10, 150)
    }
    found = {rows: verdict_of(gate, truth_N, truth_N, truth_N, labels).rules[1] for rows, truth_N in truths.items()}

    assert {rows: rule.decision for rows, rule in found.items()} == {10: "undecidable", 150: "pass"}


def test_rankings_and_likelihoods_are_compared():
    truth_N = np.arange(300) % 3
    good, bad = (
        sure_answers(truth_N, answers_with_accuracy(truth_N, first_wrong(300, wrong)), 0.8) for wrong in (6, 90)
    )
    gate = Gate(metric="auroc", at_least=0, non_inferiority_margin=0.03, resamples=1_000)
    assert decide(gate, Evidence(CLASSES, good, bad)).decision == "pass"
    assert decide(gate, Evidence(CLASSES, bad, good)).decision == "refuse"

    likely = pd.DataFrame({"truth": ["x"] * 60, "num_tokens": 5, "log_likelihood": np.linspace(-9, -5, 60)})
    unlikely = likely.assign(log_likelihood=likely["log_likelihood"] - 1)
    gate = Gate(metric="answer_log_likelihood", at_least=-9, non_inferiority_margin=0.1, resamples=1_000)
    assert decide(gate, Evidence((), likely, unlikely)).decision == "pass"
    assert decide(gate, Evidence((), unlikely, likely)).decision == "refuse"
    assert decide(gate, Evidence((), likely, likely)).rules[1].interval == (0, 0)


def sure_answers(truth_N: np.ndarray, answer_N: np.ndarray, sureness: float) -> pd.DataFrame:
    rest = (1 - sureness) / 2
    columns = {f"p{number}": np.where(answer_N == number, sureness, rest) for number in range(3)}
    return as_table(truth_N, answer_N).assign(**columns)


@pytest.mark.parametrize(("sureness", "decision"), [(0.8, "pass"), (0.99, "refuse")])
def test_model_that_is_surer_than_right_is_refused(sureness: float, decision: str):
    truth_N = np.arange(300) % 3
    table = sure_answers(truth_N, answers_with_accuracy(truth_N, first_wrong(300, 60)), sureness)
    gate = GATE.model_copy(update={"max_calibration_error": 0.05})
    rule = decide(gate, Evidence(CLASSES, table)).rules[-1]

    assert (rule.name, rule.sense, rule.decision) == ("calibration", "at most", decision)
    assert rule.measured == pytest.approx(sureness - 0.8, abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "decision"),
    [((0.80, 0.81, 0.82), "pass"), ((0.76, 0.82, 0.80), "undecidable"), ((0.70, 0.71, 0.69), "refuse"), ((), None)],
)
def test_mean_over_seeds_is_held_by_its_lower_bound(scores: tuple[float, ...], decision: str | None):
    truth_N = np.arange(300) % 3
    gate = GATE.model_copy(update={"seeds_at_least": 0.78})
    rules = verdict_of(gate, truth_N, truth_N, None, CLASSES, seed_scores=scores).rules

    assert [rule.decision for rule in rules[1:]] == ([decision] if decision else [])
    if decision == "pass":
        # Student's t of two degrees of freedom: 2.920 at 95 %.
        assert rules[1].interval[0] == pytest.approx(0.81 - 2.920 * 0.01 / np.sqrt(3), abs=1e-4)


def make_costs(scale: float, seed: int) -> ModelCosts:
    random = np.random.default_rng(seed)
    singles = scale * random.lognormal(-5, 0.05, (20, 8))
    return ModelCosts(
        singles=tuple(map(tuple, singles.tolist())),
        batches=tuple((scale * random.lognormal(-7, 0.05, 20)).tolist()),
        memory_bytes=(int(100e6 * scale), int(102e6 * scale)),
        size_bytes=int(90e6 * scale),
    )


@pytest.mark.parametrize(("scale", "decision"), [(1.0, "pass"), (1.3, "refuse")])
def test_candidate_that_takes_more_than_its_budget_is_refused(scale: float, decision: str):
    truth_N = np.arange(300) % 3
    costs = CostsRef(digest="0" * 64, candidate=make_costs(scale, 1), champion=make_costs(1.0, 2))
    limits = dict.fromkeys(Budgets.model_fields, 1.15)
    gate = GATE.model_copy(update={"budgets": Budgets.model_validate(limits)})
    rules = verdict_of(gate, truth_N, truth_N, truth_N, CLASSES, costs=costs).rules[2:]

    assert [rule.name for rule in rules] == [f"budget: {name}" for name in limits]
    assert {rule.decision for rule in rules} == {decision}
    assert all(rule.measured == pytest.approx(scale, rel=0.05) for rule in rules)
    assert all(rule.sense == "at most" for rule in rules)


def test_times_that_differ_by_less_than_they_scatter_are_undecidable():
    truth_N = np.arange(300) % 3
    costs = CostsRef(digest="0" * 64, candidate=make_costs(1.0, 1), champion=make_costs(1.0, 2))
    gate = GATE.model_copy(update={"budgets": Budgets(latency_p50=1.0, size=1.0)})
    time, size = verdict_of(gate, truth_N, truth_N, truth_N, CLASSES, costs=costs).rules[2:]

    assert (time.decision, size.decision) == ("undecidable", "pass")
    assert time.interval[0] < 1 < time.interval[1]
