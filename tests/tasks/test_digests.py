"""What the code digests of the real steps cover. Alone: pytest tests/tasks/test_digests.py.

`Words` chooses every row of every table, so that all of `methods/` that any step can reach is looked at.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from prefect import Task
from pydantic import BaseModel

import tasks
from tasks.services.cache import code
from tasks.services.cache.keys import ContentKey

# What schemas/ does for steps that shapes no result, each with the reason.
DECIDES_NOTHING = {
    "digest_of": "names a result by its content",
    "without_password": "cleans a log line",
    "read_settings": "names places and limits of this machine",
    "short": "shortens a digest for a message",
    "of": "ModelRef and TrainedRef are named by the digests of their files",
}
CALLABLE = (property, classmethod, staticmethod, types.FunctionType)


class Words(frozenset[str]):
    def __contains__(self, word: object) -> bool:
        return True


def cached_steps() -> dict[str, str]:
    """By the name of each cached step, its module."""
    modules = [importlib.import_module(f"tasks.{found.name}") for found in pkgutil.iter_modules(tasks.__path__)]
    return {
        step.cache_policy.step: step.cache_policy.module
        for module in modules
        for step in vars(module).values()
        if isinstance(step, Task) and isinstance(step.cache_policy, ContentKey)
    }


@cache
def trees_of(module: str) -> dict[str, ast.Module]:
    return code.reached(module, Words({"every word"}))


def all_trees() -> dict[str, ast.Module]:
    return {name: tree for module in cached_steps().values() for name, tree in trees_of(module).items()}


def imported_from(package: str) -> set[tuple[str, str]]:
    """Module and name of all that the steps' digested code imports from a package of ours."""
    nodes = [node for tree in all_trees().values() for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {
        (str(node.module), alias.name) for node in nodes if code.is_below(package, node.module) for alias in node.names
    }


def test_own_code_is_imported_by_name_from_packages_that_are_known():
    """`import tasks.methods.x` would bind `tasks`, and a module of services in a step would be known by its name."""
    whole = [
        name
        for tree in all_trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in code.imports_of(node)
    ]
    ours = [name for tree in all_trees().values() for name in code.imports_of(tree) if code.is_below("tasks", name)]
    modules = [
        f"{module}.{name}" for module, name in imported_from("tasks.services") if code._source(f"{module}.{name}")
    ]

    assert [name for name in whole if code.is_below("tasks", name) or code.is_below("schemas", name)] == []
    assert [
        name for name in ours if not (code.is_below("tasks.methods", name) or code.is_below("tasks.services", name))
    ] == []
    assert modules == []
    assert not any(
        node.level for tree in all_trees().values() for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    )


def test_no_function_or_table_of_schemas_decides_what_a_step_computes():
    """Nouns declare; what decides lies in methods/, where the digest covers it."""
    found = {
        (module, name): getattr(importlib.import_module(module), name) for module, name in imported_from("schemas")
    }
    nouns = {where for where, value in found.items() if inspect.isclass(value) or hasattr(value, "__origin__")}

    assert {name for _, name in found.keys() - nouns} - DECIDES_NOTHING.keys() == set()


def test_no_method_of_a_noun_decides_what_a_step_computes():
    read = {node.attr for tree in all_trees().values() for node in ast.walk(tree) if isinstance(node, ast.Attribute)}

    assert methods_of_nouns() & read - DECIDES_NOTHING.keys() == set()


def methods_of_nouns() -> set[str]:
    """Names of the functions and properties of the nouns that steps see, without validators, which shape parameters."""
    names: set[str] = set()
    for noun in nouns_of([getattr(importlib.import_module(module), name) for module, name in imported_from("schemas")]):
        ours = [part for part in noun.__mro__ if part.__module__.startswith("schemas")]
        found = {name: value for part in ours for name, value in vars(part).items() if not name.startswith("__")}
        declared = {name for name, value in found.items() if isinstance(value, CALLABLE)}
        checks = noun.__pydantic_decorators__
        names |= declared - {*checks.validators, *checks.field_validators, *checks.model_validators}
    return names


def nouns_of(values: list[Any]) -> set[type[BaseModel]]:
    """The models among values, in their annotations, and in the fields of those."""
    found: set[type[BaseModel]] = set()
    while values:
        value = values.pop()
        if inspect.isclass(value) and issubclass(value, BaseModel) and value not in found:
            found.add(value)
            values += [field.annotation for field in value.model_fields.values()]
        values += get_args(value)
    return found


@pytest.fixture
def sources(monkeypatch) -> Iterator[dict[str, str]]:
    """By module, texts that stand for those on disk."""
    written: dict[str, str] = {}
    find, parse = code._source, code._parse

    def find_written(module: str) -> Path | None:
        return Path(module) if module in written else find(module)

    def parse_written(path: Path) -> ast.Module:
        return parsed(written[str(path)]) if str(path) in written else parse(path)

    monkeypatch.setattr(code, "_source", find_written)
    monkeypatch.setattr(code, "_parse", parse_written)
    return written


@cache
def parsed(text: str) -> ast.Module:
    tree: ast.Module = code._EffectiveCode().visit(ast.parse(text))
    return tree


def digest_of_step(module: str) -> str:
    return code._Code(Words({"every word"})).digest(module)


def edits_of(text: str) -> Iterator[tuple[str, str]]:
    """By the name of each function in a module, the module with that function edited."""
    lines = text.splitlines()
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef):
            last = function.body[-1]
            line = f"{' ' * last.col_offset}print('edited')"
            yield function.name, "\n".join([*lines[: last.lineno - 1], line, *lines[last.lineno - 1 :]])


def text_of(module: str) -> str:
    return Path(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")


def test_edit_of_any_function_that_a_verdict_passes_through_changes_the_gates_digest(sources: dict[str, str]):
    """Each edit changes the form of its module, and a change of any of these modules the step's digest."""
    step = cached_steps()["gate"]
    before, modules = digest_of_step(step), list(trees_of(step))
    without_effect = []
    for module in modules:
        form = code._form(parsed(text_of(module)), {})
        edits = list(edits_of(text_of(module)))
        without_effect += [f"{module}.{name}" for name, text in edits if code._form(parsed(text), {}) == form]
        for _, text in edits[-1:]:
            sources[module] = text
            without_effect += [module] if digest_of_step(step) == before else []
            del sources[module]

    assert {"tasks.methods.rules.decision", "tasks.methods.rules.paired"} <= set(modules)
    assert without_effect == []


def test_moved_and_renamed_module_keeps_every_digest(sources: dict[str, str], monkeypatch):
    steps = cached_steps()
    before = {name: digest_of_step(module) for name, module in steps.items()}
    old, new = "tasks.methods.rules.paired", "tasks.methods.statistics.two_models"
    sources |= {
        module: re.sub(rf"\b{re.escape(old)}\b", new, text_of(module))
        for module in all_trees()
        if old in text_of(module)
    }
    sources[new] = text_of(old)

    assert len(sources) > 3
    assert {name: digest_of_step(module) for name, module in steps.items()} == before
