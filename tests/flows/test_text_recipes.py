"""The shipped recipes whose answers are texts, as they are but for tiny models. Alone: pytest tests/flows/test_text_recipes.py."""

import shutil
from pathlib import Path

import pytest

from schemas.recipe.loading import load_recipe
from tests.flows.command import last_json, run
from tests.tasks.methods.problems.test_causal_lm import build_decoder
from tests.tasks.methods.problems.test_sequence_to_sequence import build_translator

DIALOGUE, TRANSLATION = Path("recipes/dialogue/smollm2.yaml"), Path("recipes/translation/small.yaml")


@pytest.mark.parametrize("path", [DIALOGUE, TRANSLATION])
def test_recipe_is_valid_and_its_rows_are_there(path: Path):
    recipe = load_recipe(path)

    assert recipe.gate.metric in recipe.problem.METRICS
    assert all(
        (path.parent / name).exists() for source in (recipe.data.train, recipe.data.test) for name in source.path
    )


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_engine")
@pytest.mark.parametrize(
    ("path", "build", "overrides"),
    [
        (DIALOGUE, build_decoder, ["problem.max_tokens=64", "problem.answer_tokens=8", "gate.at_least=-20"]),
        (TRANSLATION, build_translator, ["problem.max_tokens=16", "problem.answer_tokens=4", "gate.at_least=0", "data.train.fraction=0.1"]),
    ],
)  # fmt: skip
def test_recipe_runs_to_its_end(tmp_path: Path, path: Path, build, overrides: list[str]):
    shutil.copytree(path.parent / "data", tmp_path / "data")
    recipe = Path(shutil.copy(path, tmp_path))
    base = load_recipe(path, tuple(overrides)).model.base
    build(tmp_path / base)
    settings = [*overrides, "training.epochs=1", "model.licences=[mit]"]
    found = last_json(run("run", recipe, "--json", *(part for setting in settings for part in ("--set", setting))))

    assert found["outcome"] == "promoted"
    assert set(found["scores"]["candidate"]) >= set(load_recipe(path).evaluation.metrics)
