"""The problem of a folder by its config.json. Alone: pytest tests/tasks/methods/models/test_recognition.py."""

from pathlib import Path

import pytest

from schemas.errors import Corrupt, UsageError
from schemas.recipe.problem import TextClassification, TokenClassification
from tasks.methods.models.recognition import read_config, recognise_problem

PATH = Path("north/config.json")


def test_labels_are_in_the_order_of_their_numbers():
    names = {str(number): f"tone-{number}" for number in reversed(range(12))}
    found = recognise_problem({"id2label": names, "architectures": ["XSequenceClassifier"]}, PATH)

    assert found == TextClassification(labels=tuple(f"tone-{number}" for number in range(12)))


def test_tags_are_recognised_by_the_architecture():
    names = {"0": "O", "1": "B-river", "2": "I-river"}
    found = recognise_problem({"id2label": names, "architectures": ["XForTokenClassification"]}, PATH)

    assert found == TokenClassification(labels=("river",))


@pytest.mark.parametrize(
    "names",
    [
        {"a": "calm", "b": "rough"},
        {"1": "calm", "2": "rough"},
        {"0": "calm", "2": "rough"},
        {"0": "calm", "01": "rough"},
        {"0": "calm", "-1": "rough"},
        {"0": 0, "1": 1},
        {"0": "calm", "1": None},
        {"0": "calm", "1": ["rough"]},
        {"0": "calm", "1": "calm"},
        {"0": "calm", "1": " "},
        ["calm", "rough"],
        "calm",
        7,
        None,
        {str(number): ["rough"] for number in range(999)},
    ],
    ids=str,
)
def test_names_of_another_form_are_refused_with_the_one_that_is_expected(names: object):
    with pytest.raises(UsageError) as caught:
        recognise_problem({"id2label": names, "architectures": ["X"]}, PATH)

    assert str(caught.value).startswith("north/config.json: id2label is ")
    assert 'such as {"0": "negative", "1": "positive"}' in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("config", [{}, {"id2label": {}}, {"id2label": {"0": "calm"}}, {"architectures": None}])
def test_model_without_labels_is_refused_with_the_form_that_is_expected(config: dict[str, object]):
    with pytest.raises(UsageError, match="it names no labels.*id2label holds"):
        recognise_problem(config, PATH)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"architectures": "BertModel"}, "architectures is no list of names"),
        ({"architectures": [7]}, "architectures is no list of names"),
        ({"architectures": ["XForTokenClassification"], "id2label": {"0": "O"}}, "do not suit XForTokenClass"),
        ({"architectures": ["XForTokenClassification"], "id2label": {"0": "B-a b"}}, "has a blank"),
    ],
)
def test_other_values_that_do_not_fit_are_refused(config: dict[str, object], expected: str):
    with pytest.raises(UsageError, match=expected):
        recognise_problem(config, PATH)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_configuration_that_is_no_object_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(Corrupt, match="it is no JSON object"):
        read_config(tmp_path / "config.json")
