"""What deployed runs are called. Alone: pytest tests/flows/test_retrain.py."""

from types import SimpleNamespace

import pytest

from flows import retrain


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, "tweets/full"),
        ({"recipe": "reviews/gpt2", "epochs": 3, "seed": 0}, "reviews/gpt2, training.epochs=3, training.seeds=[0]"),
        ({"whole_recipe": "name: other", "epochs": 3}, "tweets/full, whole recipe, training.epochs=3"),
        ({"whole_recipe": " "}, "tweets/full"),
    ],
)
def test_retraining_is_named_after_what_runs(monkeypatch, request_: dict[str, object], expected: str):
    monkeypatch.setattr(retrain, "flow_run", SimpleNamespace(parameters={"request": request_}))

    assert retrain._name_retraining() == expected
