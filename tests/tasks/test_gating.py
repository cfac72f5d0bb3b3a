"""The gate's step: same rows or nothing. Alone: pytest tests/tasks/test_gating.py."""

import logging

import pandas as pd
import pytest

from schemas.errors import StoreError, TrainingError, UsageError
from schemas.recipe.evaluation import Evaluation
from schemas.recipe.gate import Gate
from schemas.records.references import AnswersRef, EvidenceRef, RowsRef, ScoresRef
from tasks.evaluation import answer, score
from tasks.gating import gate_candidate
from tasks.gating import gate_predictions as gate_evidence
from tasks.methods.rules.evidence import Evidence

LABELS = ("a", "b", "c")
GATE = Gate(metric="accuracy", at_least=0.5, non_inferiority_margin=0.1, resamples=1_000)


SCORES = ScoresRef(digest="1" * 64, size_bytes=1, num_rows=1, scores={}, intervals={}, confusion=(), labels=LABELS)


def gate_predictions(gate: Gate, candidate: pd.DataFrame, champion: pd.DataFrame, labels: tuple[str, ...]):
    return gate_evidence(gate, Evidence(labels, candidate, champion))


def make_answers(count: int = 60) -> pd.DataFrame:
    truth = [number % 3 for number in range(count)]
    return pd.DataFrame({"id": [str(number) for number in range(count)], "truth": truth, "answer": truth})


def test_answers_to_the_same_rows_are_compared():
    assert gate_predictions(GATE, make_answers(), make_answers(), LABELS).decision == "pass"


@pytest.mark.parametrize("other", [make_answers(57), make_answers().iloc[::-1].reset_index(drop=True)])
def test_answers_to_other_rows_are_an_error(other: pd.DataFrame):
    with pytest.raises(StoreError, match="not for the same rows in the same order"):
        gate_predictions(GATE, make_answers(), other, LABELS)


def test_changed_truth_is_an_error():
    with pytest.raises(StoreError, match="not for the same rows"):
        gate_predictions(GATE, make_answers(), make_answers().assign(truth=0), LABELS)


def test_means_over_other_tokens_are_not_compared():
    gate = Gate(metric="answer_log_likelihood", at_least=-5, non_inferiority_margin=0.1, resamples=1_000)
    answers = make_answers().assign(log_likelihood=-2.0, num_tokens=2)

    assert gate_predictions(gate, answers, answers, ()).decision == "pass"
    assert gate_predictions(gate, answers.assign(log_likelihood=-3.0), answers, ()).decision == "refuse"
    with pytest.raises(UsageError, match="those of the champion differ from the candidate's"):
        gate_predictions(gate, answers, answers.assign(num_tokens=3), ())


def test_earlier_champion_of_another_tokenizer_is_left_out(caplog):
    logging.getLogger("tasks").propagate = True
    gate = Gate(metric="answer_log_likelihood", at_least=-5, non_inferiority_margin=0.1, resamples=1_000)
    answers = make_answers().assign(log_likelihood=-2.0, num_tokens=2)
    better = answers.assign(log_likelihood=-1.0)
    earlier = {"a" * 64: better, "b" * 64: better.assign(num_tokens=3)}

    rules = gate_evidence(gate, Evidence((), answers, answers, {"b" * 64: earlier["b" * 64]})).rules
    assert [rule.name for rule in rules] == ["floor", "non-inferiority"]
    assert f"The earlier champion {'b' * 12} has other tokens" in caplog.text
    assert gate_evidence(gate, Evidence((), answers, answers, earlier)).rules[-1].decision == "refuse"


def test_score_that_is_no_number_is_left_out():
    """One label only: nothing can be ranked, but the rest is reported."""
    answers = make_answers().assign(truth=0, answer=0, p0=0.8, p1=0.1, p2=0.1)

    assert score(answers, Evaluation(metrics=("accuracy", "auroc")), LABELS) == {"accuracy": 1.0}


def test_model_whose_weights_are_nan_is_no_result(tiny_model, tmp_path):
    from tasks.methods.problems.text_classification import load_model
    from tests.tasks.test_training import PROBLEM, make_table

    model = load_model(tiny_model, PROBLEM, True)
    model.classifier.bias.data[:] = float("nan")
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((tiny_model / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_bytes((tiny_model / "tokenizer_config.json").read_bytes())

    with pytest.raises(TrainingError, match="not finite"):
        answer(tmp_path, make_table(4, 1), PROBLEM)


def test_scores_count_in_the_key_by_their_answers_alone():
    """Another metric that was reported of equal answers is no other verdict, an earlier champion's included."""

    def key(scores: dict[str, float]) -> str:
        found = ScoresRef(
            digest="1" * 64, size_bytes=1, num_rows=1, scores=scores, intervals={}, confusion=(), labels=LABELS
        )
        evidence = EvidenceRef.of(candidate=found, champion=found, champion_version="2" * 64, earlier={"3" * 64: found})
        return gate_key(evidence)

    assert key({"accuracy": 0.9}) == key({"accuracy": 0.9, "macro_f1": 0.8})


def gate_key(evidence: EvidenceRef) -> str:
    rows = RowsRef(digest="4" * 64, size_bytes=1, num_rows=1)
    return gate_candidate.cache_policy.key_for({"evidence": evidence, "rows": rows, "gate": GATE}).path


def test_evidence_is_named_by_the_parts_that_are_there():
    """A kind of evidence that comes later, and is not there, makes no stored verdict miss."""

    class LaterRef(EvidenceRef):
        drift: ScoresRef | None = None

    scores = SCORES
    baselines = AnswersRef(digest="5" * 64, tables={})
    evidence = EvidenceRef.of(candidate=scores, champion=None, earlier={}, baselines=baselines, seed_scores=())

    assert evidence.parts == {"candidate": "1" * 64, "baselines": "5" * 64}
    assert LaterRef.of(candidate=scores, baselines=baselines).digest == evidence.digest
    assert gate_key(LaterRef.of(candidate=scores, baselines=baselines)) == gate_key(evidence)
    assert LaterRef.of(candidate=scores, baselines=baselines, drift=scores).digest != evidence.digest


@pytest.mark.parametrize(
    "parts", [{"champion_version": "2" * 64}, {"seed_scores": (0.5, 0.6)}, {"earlier": {"3" * 64: SCORES}}]
)
def test_every_part_of_the_evidence_counts(parts: dict[str, object]):
    scores = SCORES

    assert EvidenceRef.of(candidate=scores, **parts).digest != EvidenceRef.of(candidate=scores).digest
    assert gate_key(EvidenceRef.of(candidate=scores, **parts)) != gate_key(EvidenceRef.of(candidate=scores))
