"""The model card. Alone: pytest tests/tasks/methods/reports/test_card.py."""

import re

import pytest
from huggingface_hub import ModelCard

from schemas.frozen import digest_of
from schemas.records.references import Blob, RowsRef, ScoresRef
from schemas.records.verdict import RuleResult
from schemas.records.versions import Base, Manifest
from tasks.methods.reports.card import render_card
from tasks.methods.rules.decision import weigh

ROWS, BASE, TRAIN, CODE = "1" * 64, "2" * 64, "3" * 64, "5" * 64
SCORES = ScoresRef(
    digest="6" * 64,
    size_bytes=1,
    num_rows=1234,
    scores={"macro_f1": 0.7391, "accuracy": 0.75},
    intervals={"macro_f1": (0.7112, 0.7654), "accuracy": (0.7, 0.8)},
    confusion=(),
    labels=(),
)
RULE = RuleResult(
    name="slice: label a|b",
    measured=0.0213,
    interval=(0.0049, 0.0391),
    limit=-0.03,
    decision="pass",
    reason="macro_f1 is above the margin",
)
VERDICT = weigh((RULE,), rows=1234)


@pytest.fixture
def version() -> Manifest:
    return Manifest(
        model="sentiment",
        files={"model.safetensors": Blob(digest=ROWS, size_bytes=7)},
        base=Base(source="owner/base", digest=BASE, licence="apache-2.0"),
        recipe={
            "problem": {"kind": "text-classification", "labels": ["bad", "<good>"]},
            "tuning": {"kind": "full"},
        },
        data={"train": TRAIN},
        data_licences={"train": "cc-by-4.0"},
        code=CODE,
        environment={"torch": "2.13.0"},
    )


def render(version: Manifest) -> str:
    return render_card(version, VERDICT, SCORES, RowsRef(digest=ROWS, size_bytes=1, num_rows=1234), "mit")


def test_card_says_what_the_manifest_and_the_verdict_say(version: Manifest):
    card = render(version)

    for part in ("0.739", "0.711 to 0.765", "1,234", ROWS, BASE, TRAIN, CODE, version.version, "<good>"):
        assert part in card
    assert f"| train rows | `{TRAIN}` | `cc-by-4.0` |" in card
    assert f"| test rows | `{ROWS}` | `mit` |" in card
    assert "| `slice: label a/b` | pass | +0.021 | +0.005 to +0.039 | at least -0.030 | `macro_f1 is above" in card
    assert digest_of(VERDICT.model_dump(mode="json")) in card
    assert f"tunegate pull sentiment@{version.version[:12]}" in card


def test_links_and_pictures_in_names_are_text(version: Manifest):
    """Whoever writes them could lead readers of the card elsewhere, or count them."""
    link = "![seen](https://example.org/seen.png) | [more](https://example.org)"
    rule = RULE.model_copy(update={"name": link, "reason": link})
    base = Base(source=link, digest=BASE, licence=link)
    linked = version.model_copy(update={"base": base, "data_licences": {"train": link}})
    rows = RowsRef(digest=ROWS, size_bytes=1, num_rows=1234)
    _, _, body = render_card(linked, weigh((rule,), rows=1234), SCORES, rows, link).split("---\n", 2)

    assert body.count("](") == 7 * 2
    assert "](" not in re.sub(r"`[^`]*`", "", body)


def test_hub_reads_the_metadata(version: Manifest):
    data = ModelCard(render(version)).data

    assert (data.license, data.base_model, data.pipeline_tag) == ("apache-2.0", "owner/base", "text-classification")
    assert data.language is None
    found = {one.metric_type: one for one in data.eval_results}
    assert {name: one.metric_value for name, one in found.items()} == SCORES.scores
    assert found["macro_f1"].metric_args == {"interval_95": [0.7112, 0.7654]}
    assert found["macro_f1"].dataset_args == {"rows": 1234, "sha256": ROWS}


def test_every_number_follows_from_what_was_measured(version: Manifest):
    """A card of other measurements has no number of these left."""
    numbers = {name: value / 3 for name, value in SCORES.scores.items()}
    spans = {name: (low / 3, high / 3) for name, (low, high) in SCORES.intervals.items()}
    scores = SCORES.model_copy(update={"scores": numbers, "intervals": spans, "num_rows": 98})
    rule = RULE.model_copy(update={"measured": 0.5, "interval": (0.25, 0.625), "limit": 0.125})
    rows = RowsRef(digest=ROWS, size_bytes=1, num_rows=98)
    other = render_card(version, weigh((rule,), rows=98), scores, rows, "mit")
    # Digits within words, digests and version numbers are no measurements.
    found, others = (
        set(re.findall(r"(?<![\w.:-])[+-]?\d+[.,]\d+\b(?![\w.])", text)) for text in (render(version), other)
    )

    assert len(found) >= 12
    assert found & others == set()


def test_base_that_the_hub_does_not_know_is_not_linked(version: Manifest):
    base = version.base.model_copy(update={"source": "package:x/model"})
    card = render(version.model_copy(update={"base": base}))

    assert ModelCard(card).data.base_model is None
    assert "`package:x/model`" in card


@pytest.mark.parametrize(
    ("problem", "task"),
    [
        ({"kind": "multi-label-classification", "labels": ["a"]}, "text-classification"),
        ({"kind": "token-classification", "labels": ["a"]}, "token-classification"),
        ({"kind": "causal-lm"}, "text-generation"),
        ({"kind": "sequence-to-sequence"}, "text-generation"),
    ],
)
def test_hub_lists_a_model_by_the_task_of_its_problem(version: Manifest, problem: dict[str, object], task: str):
    data = ModelCard(render(version.model_copy(update={"recipe": version.recipe | {"problem": problem}}))).data

    assert (data.pipeline_tag, data.eval_results[0].task_type) == (task, task)
