"""Licences of rows: what the recipe accepts, and what carries them. Alone: pytest tests/tasks/test_licences.py."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from schemas.errors import RecipeError
from schemas.recipe.data import FileSource, Source
from schemas.recipe.loading import load_recipe
from schemas.recipe.recipe import Recipe
from schemas.records.references import PretrainedRef, RowsRef, SourceFiles, TrainedRef, TrainingCost
from tasks.ingestion import ingest_rows
from tasks.promotion import make_manifest
from tasks.services.cache.keys import key_of

DIGEST = "0" * 64
ROWS = RowsRef(digest=DIGEST, size_bytes=1, num_rows=1)


def recipe(*overrides: str) -> Recipe:
    return load_recipe(Path("recipes/tweets/full.yaml"), ("data.licences=null", "data.train.licence=null", *overrides))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.licences=[mit]"], "data.licences allows mit, but data.train.licence is 'unknown'"),
        (["data.licences=[mit]", "data.train.licence=MIT"], "but data.test.licence is 'unknown'"),
        (["data.licences=[mit]", "data.train.licence=gpl-3.0"], "add 'gpl-3.0' to data.licences"),
        (["data.licences=[]"], "data.licences is"),
        (["data.train.licence="], "data.train.licence is"),
    ],
)
def test_licence_that_is_not_accepted_is_refused(overrides: list[str], message: str):
    overrides = [one.replace("licence=", "licence=''") if one.endswith("=") else one for one in overrides]
    with pytest.raises(RecipeError) as refused:
        recipe("data.test.licence=null", *overrides)
    assert message in str(refused.value)


def test_accepted_licences_are_compared_without_regard_to_case():
    accepted = recipe("data.licences=[Mit, unknown]", "data.train.licence=MIT", "data.test.licence=null")

    assert accepted.data.train.licence == "MIT"


def test_stating_a_licence_ingests_nothing_again():
    source: Source = TypeAdapter(Source).validate_python({"path": "a.csv", "text": "t", "label": "l"})
    assert isinstance(source, FileSource)
    files = SourceFiles(digest=DIGEST, files=())
    keys = [
        key_of(ingest_rows, {"train": one, "test": one, "train_files": files, "test_files": files})
        for one in (source, source.model_copy(update={"licence": "mit"}))
    ]

    assert keys[0].path == keys[1].path
    assert "licence" not in keys[0].params["train"]


def test_manifest_carries_stated_licences_and_is_what_it_was_without():
    cost = TrainingCost(seconds=1, peak_memory_bytes=1, trained_parameters=1, parameters=1)
    trained = TrainedRef.of({}, curve=(), cost=cost, code=DIGEST, environment={})
    base = PretrainedRef(digest=DIGEST, folder="x", source="x", licence="mit")
    recipes = [recipe(f"data.train.licence={licence}", "data.test.licence=null") for licence in ("null", "mit")]
    without, stated = (make_manifest(one, one.training, trained, base, ROWS, ROWS) for one in recipes)

    assert "data_licences" not in without.model_dump(mode="json")
    assert stated.data_licences == {"train": "mit", "validation": "mit"}
    assert without.version != stated.version
    assert type(stated).model_validate(stated.model_dump(mode="json")) == stated
