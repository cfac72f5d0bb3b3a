"""docs/extending.md is true: its places exist and its examples run. Alone: pytest tests/test_extending.py."""

import ast
import importlib
import re
import sys
import textwrap
import types
from pathlib import Path
from typing import get_args

import pytest

from schemas.recipe import gate, problem, tuning
from schemas.recipe.augmentation import Augmenter
from schemas.recipe.data import Source
from schemas.recipe.evaluation import OF_PROBABILITIES, Baseline, ComparedMetric, MetricName
from schemas.recipe.problem import KINDS
from schemas.recipe.training import Loss
from schemas.recipe.tuning import Tuning
from tasks.methods.augmenters.table import AUGMENTERS
from tasks.methods.baselines.table import BASELINES
from tasks.methods.losses.table import LOSSES
from tasks.methods.metrics.score import PROBABILITIES
from tasks.methods.metrics.table import METRICS
from tasks.methods.problems.table import PROBLEMS
from tasks.methods.rules import decision
from tasks.methods.sources.table import SOURCES
from tasks.methods.tuners.table import TUNERS

PAGE = Path("docs/extending.md").read_text(encoding="utf-8")
# Table, its module, the folder of its rows.
PLACES = re.findall(r"^\| `([A-Z]+)`, `([\w/]+)\.py` \|.*\| `([\w/]+)/` \|.*\|$", PAGE, re.MULTILINE)


def examples(section: str) -> list[str]:
    """The Python code of a section, block by block."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def kinds_of(union: object) -> set[str]:
    """The words that a recipe has for the classes of a union, or for the one class there is."""
    parts = [union, *get_args(union), *(part for one in get_args(union) for part in get_args(one))]
    return {part.model_fields["kind"].default for part in parts if hasattr(part, "model_fields")}


@pytest.fixture
def add(monkeypatch):
    """Write a module of an example into the running program."""

    def write(name: str, code: str) -> types.ModuleType:
        module = types.ModuleType(name)
        exec(compile(code, name, "exec"), vars(module))
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return write


@pytest.fixture
def declare(monkeypatch):
    """Write a class of an example into a module of nouns."""

    def write(module: types.ModuleType, code: str) -> None:
        space = dict(vars(module))
        exec(compile(code, module.__name__, "exec"), space)
        for name, value in space.items():
            if value is not vars(module).get(name):
                monkeypatch.setattr(module, name, value, raising=False)

    return write


def run_tests(code: str, **fixtures: object) -> None:
    space: dict[str, object] = {"__name__": "example"}
    exec(compile(code, "docs/extending.md", "exec"), space)
    tests = [value for name, value in space.items() if name.startswith("test_")]
    for test in tests:
        wanted = test.__code__.co_varnames[: test.__code__.co_argcount]
        test(**{name: fixtures[name] for name in wanted})
    assert tests


def test_page_names_every_table():
    written = {
        (node.targets[0] if isinstance(node, ast.Assign) else node.target).id: str(path.with_suffix(""))
        for path in [*Path("tasks/methods").glob("*/table.py"), Path("tasks/methods/rules/decision.py")]
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
    }

    assert {table: path for table, path, _ in PLACES} == written


@pytest.mark.parametrize(("table", "path", "folder"), PLACES)
def test_rows_lie_where_the_page_says(table: str, path: str, folder: str):
    rows = getattr(importlib.import_module(path.replace("/", ".")), table)
    tree = ast.parse(Path(f"{path}.py").read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    package = folder.replace("/", ".")
    files = {alias.name for node in imported if node.module == package for alias in node.names}
    files |= {node.module.rpartition(".")[2] for node in imported if str(node.module).startswith(f"{package}.")}

    assert len(rows) > 0
    assert files
    assert [name for name in files if not Path(folder, f"{name}.py").is_file()] == []


def test_every_name_of_the_page_is_declared_where_it_says():
    told = re.findall(r"`(schemas/recipe/\w+\.py)`: [^|;]*?`(\w+)`", PAGE)
    missing = [(path, name) for path, name in told if not re.search(rf"\b{name}\b", Path(path).read_text())]

    assert len(told) > 8
    assert [pair for pair in missing if pair[1] != "r_squared"] == []


def test_tables_and_recipes_have_the_same_words():
    assert set(METRICS) == set(get_args(MetricName))
    assert set(BASELINES) == set(get_args(Baseline))
    assert set(PROBLEMS) == set(KINDS)
    assert set(TUNERS) == kinds_of(Tuning)
    assert set(LOSSES) == kinds_of(Loss)
    assert set(SOURCES) == kinds_of(Source)
    assert set(AUGMENTERS) == kinds_of(Augmenter)


def test_what_classes_declare_is_what_methods_do():
    assert {name for name, score in METRICS.items() if score.columns[1] == PROBABILITIES} == set(OF_PROBABILITIES)
    for word, kind in KINDS.items():
        assert set(kind.METRICS) <= set(METRICS)
        assert kind.METRICS[0] in get_args(ComparedMetric)
        assert set(kind.BASELINES) <= set(BASELINES)
        assert kind.has_one_label == PROBLEMS[word].has_classes


def add_metric(add, monkeypatch) -> None:
    module, _ = examples("A metric")
    monkeypatch.setitem(METRICS, "r_squared", add("tasks.methods.metrics.r_squared", module).R_SQUARED)


def test_metric_of_the_page_runs(add, monkeypatch):
    add_metric(add, monkeypatch)

    run_tests(examples("A metric")[-1])


def test_tuner_of_the_page_runs(add, declare, monkeypatch, tiny_model: Path):
    noun, module, test = examples("A tuner")
    declare(tuning, noun)
    monkeypatch.setitem(TUNERS, "biases", add("tasks.methods.tuners.biases", module).METHODS)

    run_tests(test, tiny_model=tiny_model)


@pytest.mark.heavy
def test_kind_of_problem_of_the_page_runs(add, declare, monkeypatch, tiny_model: Path, tmp_path: Path):
    noun, module, test = examples("A kind of problem")
    add_metric(add, monkeypatch)
    declare(problem, noun)
    monkeypatch.setitem(PROBLEMS, "regression", add("tasks.methods.problems.regression", module).METHODS)

    run_tests(test, tiny_model=tiny_model, tmp_path=tmp_path)


def test_gate_rule_of_the_page_runs(add, declare, monkeypatch):
    field, module, test = examples("A gate rule")
    declare(gate, f"class Gate(Gate):\n{textwrap.indent(field, '    ')}")
    rule = add("tasks.methods.rules.worst_recall", module).check_worst_recall
    monkeypatch.setattr(decision, "RULES", (*decision.RULES, rule))

    run_tests(test)
