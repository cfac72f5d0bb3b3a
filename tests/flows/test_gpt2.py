"""recipes/tweets/gpt2.yaml as it is shipped, with a tiny GPT-2 and few rows in the hub's own cache.

Alone: pytest tests/flows/test_gpt2.py
"""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import constants

from schemas.recipe.loading import load_recipe
from schemas.recipe.recipe import Recipe
from tasks.services.registry.log import read_log
from tasks.services.registry.versions import read_manifest
from tests.conftest import LABELS, make_rows
from tests.flows.command import last_json, run

RECIPE = Path("recipes/tweets/gpt2.yaml")
SHORT = (
    "training.learning_rate=0.01",
    "training.batch_size=16",
    "training.epochs=8",
    "training.early_stopping.patience=50",
)


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe(RECIPE)


@pytest.fixture
def hub_cache(recipe: Recipe, tiny_gpt2: Path, tmp_path: Path, monkeypatch) -> Path:
    """What downloads would have left behind: the train split in two Parquet shards, the test split in JSON Lines."""
    names = dict(zip(LABELS, recipe.problem.labels, strict=True))
    rows = pd.DataFrame(make_rows(420, seed=81)).assign(label_text=lambda table: table["label"].map(names))
    rows["label"] = rows["label_text"].map(recipe.problem.labels.index)
    train = pd.concat([rows[:240], pd.DataFrame([{"text": "", "label": 1, "label_text": "neutral"}])])
    data_set = tmp_path / "datasets--mteb--tweet_sentiment_extraction" / "snapshots" / recipe.data.train.revision
    (data_set / "data").mkdir(parents=True)
    for number, part in enumerate((train[:100], train[100:])):
        part.to_parquet(data_set / "data" / f"train-{number:05}-of-00002.parquet")
    lines = (json.dumps(row) for row in rows[240:].to_dict("records"))
    (data_set / "test.jsonl").write_text("\n".join(lines))
    model = tmp_path / "models--gpt2" / "snapshots" / recipe.model.revision
    shutil.copytree(tiny_gpt2, model)
    (model / "README.md").write_text("---\nlicense: mit\n---\n")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_engine", "hub_cache")
def test_shipped_recipe_trains_and_promotes_gpt2_from_the_hub(store, recipe: Recipe):
    changes = [part for change in SHORT for part in ("--set", change)]

    result = run("run", RECIPE, "--json", *changes)

    assert result.exit_code == 0, result.stderr
    outcome = last_json(result)
    assert outcome["outcome"] == "promoted"
    assert [(finding["clause"], finding["refused"]) for finding in outcome["findings"]] == [
        ("rows have no text", False)
    ]
    name = recipe.promotion.model
    version = read_log(store, name).aliases["champion"]
    assert read_manifest(store, name, version).base.source == "gpt2"

    answered = run("predict", f"{name}@champion", "the shop was lovely and the staff very kind", "rude")
    assert [line.split()[0] for line in answered.stdout.splitlines()] == ["positive", "negative"]


@pytest.mark.usefixtures("prefect_engine")
def test_without_network_the_command_says_what_could_not_be_fetched(tmp_path: Path, monkeypatch, recipe: Recipe):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    result = run("run", RECIPE)

    assert result.exit_code == 2
    assert f"data.train.id {recipe.data.train.id!r} at revision {recipe.data.train.revision!r}" in result.stderr
    assert "Check the id, the revision and the network." in result.stderr
