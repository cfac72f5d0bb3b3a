"""One thing is edited at a time: exactly which steps run again. Alone: pytest tests/flows/test_reruns.py.

The code that is digested is a copy of this tree that the cases edit; what is executed is the tree itself, so an edit
of code leaves results equal and shows the early cut-off too.
"""

import importlib.metadata
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.services.cache import code
from tests.flows.command import last_json, run

# One case of each sort is quick enough for every change; the others run in `make test-all`.
QUICK = {
    "a comment in a step",
    "an unrelated module",
    "a new sibling of the tuner",
    "a constant of one step",
    "gate.at_least=0.79",
    "test.csv",
    "matplotlib",
}
CACHES = (code._code_of, code._first_seen, code.environment, code._parse)
NONE: set[str] = set()


def replace(path: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new, 1))

    return edit


def add_tuner(root: Path) -> None:
    (root / "tasks/methods/tuners/other.py").write_text("RANK = 8\n\n\ndef tune(tuning, model):\n    return model\n")
    table = root / "tasks/methods/tuners/table.py"
    table.write_text(
        table.read_text()
        .replace('"full"', '"other": other.tune, "full"')
        .replace("import adapters", "import other, adapters")
    )


CODE_EDITS = [
    ("a comment in a step", replace("tasks/training.py", "log = logging", "# why\nlog = logging"), NONE),
    ("a docstring in a method", replace("tasks/methods/rows.py", '"""Rows as', '"""Some rows as'), NONE),
    (
        "a field's description",
        replace("tasks/methods/training/callbacks.py", "A point of the", "One point of the"),
        NONE,
    ),
    ("a description in schemas", replace("schemas/recipe/training.py", "Passes over", "Walks over"), NONE),
    ("a service", replace("tasks/services/tracking/wandb_runs.py", "INIT_SECONDS = 10", "INIT_SECONDS = 11"), NONE),
    ("an unrelated module", replace("flows/commands/display.py", "import", "import sys\nimport"), NONE),
    ("a new sibling of the tuner", add_tuner, NONE),
    (
        "a constant of one step",
        replace("tasks/methods/augmenters/synonyms.py", "[A-Za-z]+", "[A-Za-z]{1,}"),
        {"augment"},
    ),
    ("a word list", replace("tasks/methods/augmenters/synonyms_en.tsv", "\n", "\nabc\tdef\n"), {"augment"}),
    (
        "a helper of three steps",
        replace("tasks/methods/models/tokenizer.py", "pad_token is None", "pad_token == None"),
        {"tokenize", "train", "evaluate"},
    ),
    (
        "a helper one import further away",
        replace("tasks/methods/training/checkpoint_format.py", '"state.json"', '"status.json"'),
        {"train"},
    ),
    (
        "the chosen metrics' file",
        replace("tasks/methods/metrics/confusion.py", "f1_RC = 2 *", "f1_RC = 2.0 *"),
        # The report draws the calibration, whose unseen rows are those of the classes.
        {"evaluate", "gate", "report"},
    ),
]


def cases(given: list[tuple[Any, ...]]) -> list[Any]:
    names = [case[0] for case in given]
    assert QUICK & set(names), "none of these is quick"
    return [pytest.param(*case, id=case[0], marks=[] if case[0] in QUICK else pytest.mark.slow) for case in given]


@pytest.fixture
def edited(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """A copy of the tree whose code counts instead of the tree's."""
    for folder in ("flows", "tasks", "schemas"):
        shutil.copytree(folder, tmp_path / "copy" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    source, root = code._source, Path.cwd()

    def copied(module: str) -> Path | None:
        path = source(module)
        return tmp_path / "copy" / path.relative_to(root) if path else None

    monkeypatch.setattr(code, "_source", copied)
    clear_caches()
    yield tmp_path / "copy"
    clear_caches()


def clear_caches() -> None:
    for cached in CACHES:
        cached.cache_clear()


@pytest.fixture(scope="module")
def recipe(prefect_engine, make_module_recipe) -> Path:
    path = make_module_recipe("reruns", rows_seed=401)
    assert run("run", path, "--no-promote").exit_code == 0
    return path


def steps_that_run(recipe: Path, *arguments: str) -> set[str]:
    clear_caches()
    result = run("run", recipe, "--no-promote", "--json", *arguments)
    assert result.exit_code in (0, 3), result.stderr
    return {step["name"] for step in last_json(result)["steps"] if step["state"] == "ran"}


@pytest.mark.parametrize(("what", "edit", "expected"), cases(CODE_EDITS))
def test_edit_of_code(recipe: Path, edited: Path, what: str, edit: Callable[[Path], None], expected: set[str]):
    edit(edited)

    assert steps_that_run(recipe) == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    cases(
        [
            ("tracking.project=elsewhere", NONE),
            # Another verdict is another picture.
            ("gate.at_least=0.79", {"gate", "report"}),
            ("contract.rows.min=11", {"validate"}),
            # The answers are equal, and the gate reads nothing else.
            ("evaluation.metrics=[accuracy,macro_f1]", {"evaluate"}),
            ("training.learning_rate=0.0051", {"train", "evaluate", "report", "gate"}),
            ("data.split.seed=1", {"split", "augment", "tokenize", "train", "evaluate", "report", "gate"}),
        ]
    ),
)
def test_edit_of_a_recipe_field(recipe: Path, override: str, expected: set[str]):
    assert steps_that_run(recipe, "--set", override) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    cases(
        [
            # Other test rows: what is held out from augmentation is asked again, and gives the same rows.
            ("test.csv", {"ingest", "validate", "augment", "evaluate", "report", "gate"}),
            (
                "train.csv",
                {"ingest", "validate", "split", "augment", "tokenize", "train", "evaluate", "report", "gate"},
            ),
        ]
    ),
)
def test_edit_of_a_row(recipe: Path, file: str, expected: set[str]):
    path = recipe.parent / file
    original = path.read_bytes()
    header, row, rest = original.split(b"\n", 2)
    path.write_bytes(b"\n".join([header, b"again " + row, rest]))
    try:
        assert steps_that_run(recipe) == expected
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize(
    ("library", "expected"),
    cases(
        [
            ("boto3", NONE),
            ("prefect", NONE),
            ("great_expectations", {"validate"}),
            ("matplotlib", {"report"}),
            ("safetensors", {"validate", "tokenize", "train", "evaluate", "report"}),
            ("scipy", {"gate", "evaluate", "report"}),
            ("torch", {"validate", "tokenize", "train", "evaluate", "report"}),
        ]
    ),
)
def test_another_version_of_a_library(recipe: Path, monkeypatch, library: str, expected: set[str]):
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "99.0" if name.replace("-", "_") == library else version(name)
    )
    found = steps_that_run(recipe)
    clear_caches()

    assert found == expected
