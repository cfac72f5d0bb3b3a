"""Controls in stored texts, in what is written for people. Alone: pytest tests/tasks/methods/reports/test_controls.py."""

import xml.etree.ElementTree as ET

import pytest

from schemas.recipe.loading import load_recipe
from schemas.records.outcome import Finding, Outcome
from schemas.records.references import ErrorRow, ReportRef
from schemas.records.verdict import RuleResult, Verdict
from tasks.methods.reports.card import render_card
from tasks.methods.reports.ci import render_comment, render_junit
from tasks.methods.reports.page import render_markdown, render_page
from tests.tasks.methods.reports.test_card import ROWS, SCORES, RowsRef, version  # noqa: F401

LIVE = "kept\x1b[8m hidden\x07 \u202eesrever"
SHOWN = "kept\\u001b[8m hidden\\u0007 \\u202eesrever"
RULE = RuleResult(
    name=LIVE, measured=0.1, interval=(0.0, 0.2), limit=0.3, decision="refuse", reason=LIVE, sense="at least"
)
FINDING = Finding(rows_name="train", clause=LIVE, num_broken=2, num_rows=9, refused=True, remedy=LIVE)
REPORT = ReportRef(
    digest="0" * 64,
    pictures={},
    errors=(ErrorRow(text=LIVE, label=LIVE, answer=LIVE, probability=0.9, champion=LIVE),),
    num_errors=1,
    order="wrong answers",
)


@pytest.fixture
def outcome() -> Outcome:
    return Outcome(
        outcome="refused",
        model=None,
        scores=None,
        verdict=Verdict(decision="refuse", rules=(RULE,), rows=9),
        findings=(FINDING,),
        steps=(),
        resumed_from_step=None,
        report="report.html",
        flow_run_id="11111111-1111-1111-1111-111111111111",
        tracking_group="g",
        seconds=12.0,
    )


def controls_of(text: str) -> set[str]:
    return {char for char in text if char in "\x07\x1b\u202e"}


def test_pages_and_comments_show_them(outcome: Outcome, make_recipe):
    recipe = load_recipe(make_recipe())
    for text in (
        render_markdown(outcome, recipe, REPORT, {"version": LIVE}),
        render_comment(outcome, recipe, REPORT),
        render_page(outcome, recipe, REPORT, {}, {"version": LIVE}),
    ):
        assert SHOWN in text
        assert not controls_of(text)


def test_junit_with_them_is_xml(outcome: Outcome, make_recipe):
    suites = ET.fromstring(render_junit(outcome, load_recipe(make_recipe())))

    failure = suites.find(".//failure")
    assert failure is not None
    assert SHOWN in failure.get("message", "")
    assert SHOWN in suites[0][1].get("name", "")


def test_card_shows_them(version):  # noqa: F811
    recipe = {**version.recipe, "problem": {"kind": "text-classification", "labels": [LIVE, "good"]}}
    made = version.model_copy(update={"recipe": recipe, "data_licences": {"train": LIVE}})
    card = render_card(
        made, Verdict(decision="refuse", rules=(RULE,), rows=9), SCORES, RowsRef(digest=ROWS, size_bytes=1, num_rows=9)
    )

    assert SHOWN in card
    assert not controls_of(card)
