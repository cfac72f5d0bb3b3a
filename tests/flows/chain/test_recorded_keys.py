"""Keys and version ids of the shipped recipes, as they are on record. Alone: pytest tests/flows/chain/test_recorded_keys.py.

Whoever changes one re-keys everybody: say so in the changelog, then write the record anew with

    python -m tests.flows.chain.test_recorded_keys

Inputs stand for files, and the environment is left out: the record is the same on every machine.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from prefect import Task

from flows import finetune
from flows.chain.prepare import Inputs
from schemas.frozen import digest_of
from schemas.recipe.loading import load_recipe
from schemas.recipe.recipe import Recipe
from schemas.records.references import (
    AnswersRef,
    Blob,
    ContractRef,
    PretrainedRef,
    ReportRef,
    RowsRef,
    ScoresRef,
    SourceFiles,
    SourcesRef,
    SplitRef,
    TokensPairRef,
    TokensRef,
    TrainedRef,
    TrainingCost,
)
from schemas.records.steps import StepState
from schemas.records.verdict import Verdict
from schemas.records.versions import Manifest
from tasks.services.cache.keys import key_of

RECIPES = sorted(Path("recipes").glob("*/*.yaml"))
RECORD = Path(__file__).with_name("recorded_keys.json")


def digest(*names: str) -> str:
    return digest_of(["stands for", *names])


def rows(name: str) -> RowsRef:
    return RowsRef(digest=digest(name), size_bytes=1, num_rows=1)


def tokens(name: str) -> TokensRef:
    return TokensRef(digest=digest(name), size_bytes=1, num_rows=1, num_tokens=1, num_cut=0)


class Keys:
    """Steps that give a result made up of the step's name, and keep each key and the version."""

    def __init__(self, recipe: Recipe) -> None:
        self.found: dict[str, str] = {}
        self._recipe = recipe

    def call(self, name: str, step: Task[..., Any], **arguments: Any) -> Any:
        key = key_of(step, arguments).model_copy(update={"env": {}})
        self.found[name] = key.path
        cost = TrainingCost(seconds=1, peak_memory_bytes=1, trained_parameters=1, parameters=1)
        weights = {"model.safetensors": Blob(digest=digest(name), size_bytes=1)}
        scores = dict.fromkeys(self._recipe.evaluation.metrics, 0.5)
        made: dict[type, Callable[[], Any]] = {
            SourcesRef: lambda: SourcesRef(digest=digest(name), train=rows("train"), test=rows("test")),
            ContractRef: lambda: ContractRef(digest=digest(name), train=rows("train"), test=rows("test"), findings=()),
            SplitRef: lambda: SplitRef(digest=digest(name), train=rows("train"), validation=rows("validation")),
            RowsRef: lambda: rows(name),
            TokensPairRef: lambda: TokensPairRef(
                digest=digest(name), train=tokens("train"), validation=tokens("valid")
            ),
            TrainedRef: lambda: TrainedRef.of(weights, curve=(), cost=cost, code=key.code, environment={}),
            ScoresRef: lambda: ScoresRef(
                digest=digest(name),
                size_bytes=1,
                num_rows=1,
                scores=scores,
                intervals={},
                confusion=(),
                labels=self._recipe.problem.labels,
            ),
            AnswersRef: lambda: AnswersRef(digest=digest(name), tables={}),
            Verdict: lambda: Verdict(decision="refuse", rules=(), rows=1),
            ReportRef: lambda: ReportRef(digest=digest(name), pictures={}, errors=(), num_errors=0, order=""),
        }
        return made[get_type_hints(step.fn)["return"]]()

    def shared(self, step: Task[..., Any], calls: dict[str, dict[str, Any]]) -> Any:
        return nullcontext()

    def act(self, name: str, step: Task[..., Any], **arguments: Any) -> Any:
        raise AssertionError(f"{name}: a refused candidate changes nothing")

    def commit(self, manifest: Manifest, installed: dict[str, str]) -> None:
        self.found["version"] = manifest.version

    def describe(self, name: str, version: str, verdict: Verdict, card: Callable[[Manifest], str]) -> None:
        raise AssertionError(f"{name}: a refused candidate has no card")

    def note_from(self, first: str, state: StepState) -> None:
        """Nothing is left to find."""


def keys_of(path: Path) -> dict[str, str]:
    recipe, keys = load_recipe(path), Keys(load_recipe(path))
    train, test = (SourceFiles(digest=digest(name), files=()) for name in ("train files", "test files"))
    base = PretrainedRef(digest=digest("base"), folder="base", source="base", licence="mit")
    finetune.run(recipe, Inputs(train, test, base), keys, promote=False)
    return keys.found


@contextmanager
def empty_registry() -> Iterator[None]:
    """A bucket in which no recipe's model was promoted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGATE_BUCKET", "recorded-keys")
        yield


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("path", RECIPES, ids=str)
def test_keys_and_version_are_those_on_record(path: Path):
    with empty_registry():
        assert keys_of(path) == json.loads(RECORD.read_text())[str(path)]


def test_record_names_no_other_recipes():
    assert sorted(json.loads(RECORD.read_text())) == [str(path) for path in RECIPES]


if __name__ == "__main__":
    with empty_registry():
        RECORD.write_text(json.dumps({str(path): keys_of(path) for path in RECIPES}, indent=1) + "\n")
