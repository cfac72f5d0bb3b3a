"""What a deployment's form asks for. Alone: pytest tests/schemas/records/test_request.py."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.errors import RecipeError
from schemas.records.request import RetrainRequest, TrainRequest, recipe_names
from schemas.settings import Settings

RECIPES = Path("recipes")
SHOWN = {"string", "integer", "number", "boolean"}


def test_form_has_plain_fields_with_titles_descriptions_and_defaults():
    fields = RetrainRequest.model_json_schema()["properties"]

    assert {name for name, field in fields.items() if not {"title", "description", "default"} <= set(field)} == set()
    assert {field["type"] for field in fields.values()} <= SHOWN
    assert not any({"anyOf", "oneOf", "$ref"} & set(field) for field in fields.values())


def test_form_offers_the_recipes_that_there_are(tmp_path, monkeypatch):
    (tmp_path / "mails").mkdir()
    (tmp_path / "mails" / "spam.yaml").touch()
    monkeypatch.setenv("TUNEGATE_RECIPES", str(tmp_path))

    assert RetrainRequest.model_json_schema()["properties"]["recipe"]["enum"] == ["mails/spam"]


def test_shipped_recipes_have_names():
    assert "tweets/full" in recipe_names(RECIPES)
    assert Settings().recipes == RECIPES.resolve()


def test_request_that_asks_for_nothing_changes_nothing():
    plain, folder = RetrainRequest().resolve(RECIPES)

    assert RetrainRequest().overrides == ()
    assert (plain.name, folder) == ("tweet-sentiment", RECIPES / "tweets")


def test_request_changes_what_it_names():
    request = RetrainRequest(train_fraction=0.5, epochs=3, learning_rate=2e-5, seed=0)
    recipe, _ = request.resolve(RECIPES)

    assert (recipe.data.train.fraction, recipe.training.epochs, recipe.training.seeds) == (0.5, 3, (0,))
    assert recipe.training.learning_rate == 2e-5


def test_whole_recipe_takes_the_place_of_the_named_one():
    plain, _ = RetrainRequest().resolve(RECIPES)
    whole = plain.model_copy(update={"name": "another"}).model_dump_json()
    recipe, folder = RetrainRequest(whole_recipe=whole, epochs=2).resolve(RECIPES)

    assert (recipe.name, recipe.training.epochs, folder) == ("another", 2, RECIPES / "tweets")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"recipe": "../../etc/passwd"}, "recipe"),
        ({"recipe": "/tmp/x"}, "recipe"),
        ({"epochs": -1}, "epochs"),
        ({"train_fraction": 1.5}, "train_fraction"),
        ({"token": "x"}, "token"),
    ],
)
def test_values_that_mean_nothing_are_refused(values, message: str):
    with pytest.raises(ValidationError, match=message):
        RetrainRequest.model_validate(values)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (RetrainRequest(recipe="none/such"), "there is no such recipe"),
        (RetrainRequest(whole_recipe="[1, 2]"), "whole_recipe: found list"),
        (RetrainRequest(whole_recipe="name: x\nmodle: 3"), "modle"),
    ],
)
def test_recipe_that_cannot_be_used_says_why(request_: RetrainRequest, message: str):
    with pytest.raises(RecipeError, match=message):
        request_.resolve(RECIPES)


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", ".."])
def test_training_of_another_run_names_no_folder_of_its_own_choice(name: str):
    with pytest.raises(ValidationError) as found:
        TrainRequest(recipe=name, step=name, project=name, group=name)

    wrong = {problem["loc"][0] for problem in found.value.errors() if problem["type"] == "string_pattern_mismatch"}
    assert wrong == {"recipe", "step", "project", "group"}
