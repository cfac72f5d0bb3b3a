"""What deployed runs are called. Alone: pytest tests/flows/test_retrain.py."""

import pytest

from flows.retrain import retrain
from schemas.records.request import RetrainRequest


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, "tweets/full"),
        ({"recipe": "reviews/gpt2", "epochs": 3, "seed": 0}, "reviews/gpt2, training.epochs=3, training.seeds=[0]"),
        ({"whole_recipe": "name: other", "epochs": 3}, "tweets/full, whole recipe, training.epochs=3"),
        ({"whole_recipe": " "}, "tweets/full"),
    ],
)
def test_retraining_is_named_after_what_runs(request_: dict[str, object], expected: str):
    request = RetrainRequest.model_validate(request_)

    assert retrain.flow_run_name.format(request=request) == expected
