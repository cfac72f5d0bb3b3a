"""The house: layout, names and imports that a test can hold. Alone: pytest tests/test_house.py."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

PACKAGES = ("flows", "tasks", "schemas")
MODULES = sorted(path for package in PACKAGES for path in Path(package).rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base", "manager", "handler", "processor"}


def test_packages_are_the_ones_that_are_installed():
    project = tomllib.loads(Path("pyproject.toml").read_text())

    assert tuple(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES
    assert "Private :: Do Not Upload" in project["project"]["classifiers"]


def test_every_package_says_what_it_holds_and_nothing_else():
    for folder in sorted({path.parent for path in MODULES}):
        tree = ast.parse((folder / "__init__.py").read_text())
        assert len(tree.body) == 1, folder
        assert ast.get_docstring(tree), folder


def test_every_module_opens_with_a_docstring():
    assert [str(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_flow_is_named_like_a_library():
    """Prefect puts flows/ first on sys.path: flows/evaluate.py would shadow Hugging Face's evaluate."""
    from importlib.metadata import packages_distributions

    taken = set(packages_distributions()) | set(sys.stdlib_module_names)
    assert {path.stem for path in Path("flows").iterdir()} & taken == {"__init__"} & taken


def test_no_module_is_a_drawer():
    assert {path.stem for path in MODULES} & FORBIDDEN_NAMES == set()


def test_files_are_short_enough_to_read():
    assert [str(path) for path in MODULES if len(path.read_text().splitlines()) > 300] == []


def test_functions_are_short_enough_to_read():
    functions = [
        (str(path), node.name, node.end_lineno - node.lineno + 1)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]

    assert [function for function in functions if function[2] > 60] == []


def test_folders_are_small_enough_to_know():
    """Steps lie flat in tasks/, so there may be more of them."""
    counts = Counter(path.parent for path in MODULES if path.name != "__init__.py")

    assert {
        str(folder): count for folder, count in counts.items() if count > (24 if folder == Path("tasks") else 13)
    } == {}


@pytest.mark.parametrize("package", ["flows", "tasks/methods", "tasks/services", "schemas"])
def test_no_module_name_is_there_twice(package: str):
    counts = Counter(path.stem for path in Path(package).rglob("*.py"))

    assert {name for name, count in counts.items() if count > 1} <= {"__init__", "table"}


def test_tests_have_no_packages():
    assert list(Path("tests").rglob("__init__.py")) == []


@pytest.mark.parametrize("module", ["schemas.recipe.loading", "flows.commands.app", "tasks.services.registry.versions"])
def test_light_modules_stay_light(module: str):
    """What every command imports must not wait for torch or Prefect."""
    heavy = ("torch", "transformers", "datasets", "great_expectations", "prefect", "wandb", "matplotlib")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_folder_for_ci_is_made_without_prefect_which_warns_where_it_has_no_home_yet(tmp_path: Path):
    code = (
        "import pathlib, sys\nfrom flows.commands.runtime import begin\nfrom schemas.recipe.loading import load_recipe\n"
        "begin(load_recipe(pathlib.Path('recipes/tweets/full.yaml'), ()), pathlib.Path(sys.argv[1]))\n"
        "print('prefect' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"
    assert "No verdict" in (tmp_path / "out" / "gate.md").read_text()


def test_no_flow_file_postpones_annotations():
    """A served flow with a pydantic parameter fails with it (Prefect 3.8.8)."""
    assert [str(path) for path in Path("flows").rglob("*.py") if "import annotations" in path.read_text()] == []


def test_logs_of_deployed_flows_are_those_that_prefect_shows():
    """It loads their files under other names, and shows what the loggers below `flows` and `tasks` say."""
    deployments = yaml.safe_load(Path("infra/prefect.yaml").read_text())["deployments"]
    files = {Path(deployment["entrypoint"].partition(":")[0]) for deployment in deployments}

    assert len(files) > 2
    assert [path for path in files if "getLogger(__name__)" in path.read_text()] == []


def test_no_class_has_a_field_that_exists_only_after_another_method_was_called():
    """`optimizer` is set to None by transformers' Trainer."""
    found = [(str(path), *late) for path in MODULES for late in late_fields(ast.parse(path.read_text()))]

    assert found == [("tasks/methods/training/trainer.py", "OrderedTrainer", "optimizer")]


def late_fields(tree: ast.Module) -> list[tuple[str, str]]:
    """Class and name of each attribute of self that is assigned outside __init__ alone and has no default."""
    found = []
    for made in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        defaults = {
            target.id
            for part in made.body
            if isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None
            for target in (part.targets if isinstance(part, ast.Assign) else [part.target])
            if isinstance(target, ast.Name)
        }
        methods = [part for part in made.body if isinstance(part, ast.FunctionDef)]
        early = {name for method in methods if method.name == "__init__" for name in assigned(method)}
        late = {name for method in methods if method.name != "__init__" for name in assigned(method)}
        found += [(made.name, name) for name in sorted(late - early - defaults)]
    return found


def assigned(method: ast.FunctionDef) -> list[str]:
    """Attributes of self that a method stores to."""
    return [
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    ]


def test_tests_and_benchmarks_name_what_there_is_in_the_product():
    """Types are checked in the product alone, and a slow test, or a fault injected by name, would fail at night."""
    files = [*Path("tests").rglob("*.py"), *Path("benchmarks").glob("*.py")]
    named = [(str(path), *name) for path in files for name in own_names(ast.parse(path.read_text()))]

    assert len(named) > 1000
    assert [name for name in named if not is_defined(*name[1:])] == []


def own_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Module and name of all that a tree imports from the product, reads of a module of it, or names as module:name."""
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in PACKAGES:
            yield from ((node.module, alias.name) for alias in node.names)
            bound = [(alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names]
            modules |= {name: module for name, module in bound if source_of(module)}
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if found := re.fullmatch(rf"((?:{'|'.join(PACKAGES)})[\w.]+):(\w+)", text):
            yield found[1], found[2]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


def source_of(module: str) -> Path | None:
    path = Path(*module.split(".")).with_suffix(".py")
    return path if path.is_file() else None


@cache
def defined_in(path: Path) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name | ast.alias):
            names |= {node.id} if isinstance(node, ast.Name) else {node.asname or node.name}
    return frozenset(names)


def is_defined(module: str, name: str) -> bool:
    path = source_of(module)
    return (
        name in defined_in(path)
        if path
        else bool(source_of(f"{module}.{name}")) or Path(*module.split("."), name).is_dir()
    )
