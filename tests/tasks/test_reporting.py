"""Pictures, errors and the page. Alone: pytest tests/tasks/test_reporting.py."""

import re

import numpy as np
import pandas as pd
import pytest

from schemas.recipe.loading import load_recipe
from schemas.recipe.problem import CausalLM, MultiLabelClassification, TextClassification, TokenClassification
from schemas.records.outcome import ModelVersion, Outcome, Scores
from schemas.records.references import CurvePoint, ErrorRow, Finding, ReportRef, ScoresRef
from schemas.records.steps import Cost, StepRecord
from schemas.records.verdict import RuleResult, Verdict
from schemas.settings import Settings
from tasks.methods.reports.ci import render_comment
from tasks.methods.reports.page import CAPTIONS, render_markdown, render_page
from tasks.methods.reports.pictures import draw_rules
from tasks.methods.rules.decision import weigh
from tasks.reporting import draw_pictures, list_errors

LABELS = ("no", "yes")
ONE_LABEL = TextClassification(labels=LABELS)
RULE = RuleResult(
    name="floor", measured=0.75, interval=(0.7, 0.8), limit=0.7, decision="pass", reason="0.750 reaches 0.700"
)


def make_answers(answer: list[int], p1: list[float]) -> pd.DataFrame:
    table = pd.DataFrame({"id": list("abcd"), "truth": [0, 0, 1, 1], "answer": answer, "p1": p1})
    return table.assign(probability=np.maximum(table["p1"], 1 - table["p1"]))


def test_regressions_come_first_then_the_surest_errors():
    rows = pd.DataFrame({"text": ["A", "B", "C", "D"]})
    candidate = make_answers([1, 1, 0, 1], [0.99, 0.6, 0.3, 0.9])
    champion = make_answers([1, 0, 0, 1], [0.9, 0.2, 0.3, 0.9])

    errors, count, order = list_errors(rows, candidate, champion, ONE_LABEL)

    assert count == 3
    assert "the champion had right come first" in order
    assert [error.text for error in errors] == ["B", "A", "C"]
    assert errors[0] == ErrorRow(text="B", label="no", answer="yes", probability=0.6, champion="no")


def test_without_a_champion_the_surest_errors_come_first():
    rows = pd.DataFrame({"text": ["A", "B", "C", "D"]})

    errors, *_ = list_errors(rows, make_answers([1, 1, 0, 1], [0.6, 0.99, 0.3, 0.9]), None, ONE_LABEL)

    assert [error.text for error in errors] == ["B", "C", "A"]
    assert errors[0].champion is None


def test_errors_of_words_are_shown_as_texts_with_their_tags():
    rows = pd.DataFrame({"text": [["Ann", "left"], ["to", "Rome"]]})
    answers = pd.DataFrame(
        {"id": ["a", "b"], "truth": ["B-person O", "O B-place"], "answer": ["O O", "O B-place"], "probability": 0.5}
    )
    errors, count, _ = list_errors(rows, answers, answers, TokenClassification(labels=("person", "place")))

    assert count == 1
    assert errors[0] == ErrorRow(text="Ann left", label="B-person O", answer="O O", probability=0.5, champion="O O")


def test_errors_of_several_labels_are_spelled_out():
    rows = pd.DataFrame({"text": ["A"]})
    answers = pd.DataFrame({"id": ["a"], "truth": ["11"], "answer": ["00"], "probability": 0.5})
    ((error,), _, _) = list_errors(rows, answers, None, MultiLabelClassification(labels=LABELS))

    assert (error.label, error.answer) == ("no, yes", "(none)")


def test_of_written_texts_those_come_first_that_the_model_was_least_sure_of():
    rows = pd.DataFrame({"text": ["A", "B", "C"]})
    answers = pd.DataFrame({"id": list("abc"), "truth": list("xyz"), "answer": list("xzz")})
    errors, count, order = list_errors(rows, answers.assign(probability=[0.3, 0.9, 0.1]), None, CausalLM())

    assert ([error.text for error in errors], count) == (["C", "A", "B"], 3)
    assert order == "answers, the least sure first"


def make_scores() -> ScoresRef:
    return ScoresRef(
        digest="0" * 64,
        size_bytes=1,
        num_rows=4,
        scores={"accuracy": 0.5},
        intervals={"accuracy": (0.4, 0.6)},
        confusion=((2, 1), (0, 1)),
        labels=LABELS,
    )


def test_pictures_are_png_and_equal_for_equal_input():
    curve = (CurvePoint(step=1, epoch=0.5, loss=1.0), CurvePoint(step=2, epoch=1.0, validation_loss=0.8))
    table = make_answers([1, 1, 0, 1], [0.99, 0.6, 0.3, 0.9]).assign(p0=[0.01, 0.4, 0.7, 0.1])
    both, alone = {"candidate": table, "champion": table}, {"candidate": table.drop(columns="p0")}
    part = RULE.model_copy(update={"name": "slice: label yes", "decision": "refuse"})
    ceiling = RULE.model_copy(update={"name": "calibration", "sense": "at most", "decision": "undecidable"})
    verdict, plain = weigh((RULE, part, ceiling), rows=4), weigh((RULE,), rows=4)
    pictures = draw_pictures(make_scores(), make_scores(), both, verdict, curve)

    assert set(pictures) == {
        "rules.png",
        "slices.png",
        "learning_curve.png",
        "confusion_candidate.png",
        "confusion_champion.png",
        "reliability.png",
    }
    assert set(pictures) == set(CAPTIONS)
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    assert pictures == draw_pictures(make_scores(), make_scores(), both, verdict, curve)
    assert set(draw_pictures(make_scores(), None, alone, plain, ())) == {"rules.png", "confusion_candidate.png"}


@pytest.fixture
def outcome() -> Outcome:
    finding = Finding(
        rows_name="train", clause="rows repeat", num_broken=2, num_rows=9, refused=False, remedy="They were kept."
    )
    return Outcome(
        outcome="promoted",
        model=ModelVersion(name="m", version="f" * 64, alias="champion"),
        verdict=Verdict(decision="pass", rules=(RULE,), rows=1_001),
        scores=Scores(
            candidate={"accuracy": 0.75},
            champion={"accuracy": 0.74},
            candidate_intervals={"accuracy": (0.721, 0.779)},
            champion_intervals={"accuracy": (0.71, 0.77)},
        ),
        findings=(finding,),
        steps=(StepRecord(name="train", state="ran", seconds=1.5, key="train/00"),),
        cost=Cost.of([StepRecord(name="train", state="ran", seconds=1.5, key="train/00", cpu_seconds=3.0)], Settings()),
        resumed_from_step=None,
        report="report.html",
        flow_run_id="11111111-1111-1111-1111-111111111111",
        tracking_group="g",
        seconds=12.0,
    )


def test_page_says_everything_and_needs_nothing_else(outcome: Outcome, make_recipe):
    error = ErrorRow(text="<script>alert(1)</script>", label="no", answer="yes", probability=0.9, champion="no")
    report = ReportRef(digest="0" * 64, pictures={}, errors=(error,), num_errors=1, order="wrong answers")
    page = render_page(
        outcome, load_recipe(make_recipe()), report, {"learning_curve.png": b"\x89PNG"}, {"version": "f" * 64}
    )

    for expected in (
        "Promoted: the candidate has shown",
        "0.750 reaches 0.700",
        "1,001 test rows",
        "train",
        "[0.721, 0.779]",
        "1.5 s of computing (3 CPU seconds), estimated at 0.00000 kWh",
        "f" * 64,
    ):
        assert expected in page
    assert "2 of 9 rows repeat" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)


def test_markdown_has_the_verdict_as_tables(outcome: Outcome, make_recipe):
    text = render_markdown(outcome, load_recipe(make_recipe()), None, {"version": "f" * 64})

    assert "| `floor` | pass | +0.750 | +0.700 to +0.800 | at least +0.700 |" in text
    assert "| `accuracy` | 0.750 | 0.721 to 0.779 | 0.740 |" in text
    assert "\n1.5 s of computing (3 CPU seconds), estimated at" in text


def test_texts_of_rows_are_no_markdown(outcome: Outcome, make_recipe):
    """Prefect renders the artifact, a forge the comment: a row must not load a picture or call a @name there."""
    live = "![x](https://example.org/x.png) @team | `code`\n"
    error = ErrorRow(text=live, label=live, answer=live, probability=0.9, champion=live)
    report = ReportRef(digest="0" * 64, pictures={}, errors=(error,), num_errors=1, order="wrong answers")
    rule = RULE.model_copy(update={"name": live, "reason": live, "decision": "refuse"})
    outcome = outcome.model_copy(
        update={
            "findings": (outcome.findings[0].model_copy(update={"clause": live}),),
            "verdict": Verdict(decision="refuse", rules=(rule,), rows=9),
        }
    )
    recipe = load_recipe(make_recipe())
    for text in (render_markdown(outcome, recipe, report, {}), render_comment(outcome, recipe, report)):
        assert "example.org" in text
        assert "example.org" not in re.sub(r"`[^`\n]*`", "", text)


def test_label_that_looks_like_a_formula_is_drawn():
    rule = RULE.model_copy(update={"name": "slice: label $5%-$10%"})

    assert draw_rules((rule,)).startswith(b"\x89PNG")
