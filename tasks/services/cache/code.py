"""What code a step consists of: a digest of its file and of what it reaches in `methods/`, and what that imports.

The digest is taken of the syntax tree without docstrings, those of fields too, so comments and layout do not count,
while a constant, a default or a helper three imports away does. Of a table of methods (`table.py`) only the chosen rows
are followed.
`schemas/` and `services/` are not part of it: what they decide reaches a step as parameters and inputs.
"""

import ast
import copy
import hashlib
import importlib.metadata
import importlib.util
import platform
import sys
from functools import cache
from pathlib import Path

METHODS = "tasks.methods"
# They run the step, check its arguments and show how far it is, they do not shape its result: an upgrade must not
# retrain every model.
NOT_PART_OF_RESULT = frozenset({"prefect", "pydantic", "httpx"})
# What a library does its work with, though our code never imports it.
COMPANIONS = {"transformers": ("accelerate", "tokenizers"), "datasets": ("pyarrow",)}
ACCELERATOR_DRIVER = Path("/proc/driver/nvidia/version")


@cache
def code_digest(module: str, words: frozenset[str]) -> str:
    """SHA-256 over a step's code; `words` are the strings of its parameters, which choose rows of tables."""
    digest = hashlib.sha256()
    for name, tree in sorted(_reached(module, words).items()):
        digest.update(f"{name}\n{ast.dump(tree)}\n".encode())
        for path in _data_files(name, tree):
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def environment(module: str, words: frozenset[str]) -> dict[str, str]:
    """Versions that may change what a step computes: Python's, and of the distributions its code imports."""
    imported = {name.partition(".")[0] for tree in _reached(module, words).values() for name in _imports(tree)}
    outside = imported - set(sys.stdlib_module_names) - {"schemas", "tasks"} - NOT_PART_OF_RESULT
    owners = _distributions()
    outside |= {companion for package in outside for companion in COMPANIONS.get(package, ())}
    names = sorted({distribution for package in outside for distribution in owners.get(package, ())})
    versions = {name: importlib.metadata.version(name) for name in names}
    if "torch" in versions and ACCELERATOR_DRIVER.exists():
        versions["accelerator"] = ACCELERATOR_DRIVER.read_text().splitlines()[0].strip()
    return {"python": ".".join(platform.python_version_tuple()[:2]), **versions}


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def _reached(module: str, words: frozenset[str]) -> dict[str, ast.Module]:
    trees: dict[str, ast.Module] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in trees or path is None:
            continue
        tree = _parse(path)
        if path.name == "table.py":
            tree = _chosen_rows(copy.deepcopy(tree), words)
        trees[name] = tree
        waiting += [found for found in _imports(tree) if found.startswith(METHODS)]
    return trees


@cache
def _parse(path: Path) -> ast.Module:
    return _without_docstrings(ast.parse(path.read_text(encoding="utf-8")))


def _source(module: str) -> Path | None:
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], *module.split(".")[1:]).with_suffix(".py")
    return path if path.is_file() else None


def _data_files(module: str, tree: ast.Module) -> list[Path]:
    """Files beside a module that it names, such as a word list."""
    source = _source(module)
    folder = source.parent if source else Path()
    names = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    plain = sorted(name for name in names if "." in name and "/" not in name and "\0" not in name and len(name) < 100)
    return [folder / name for name in plain if (folder / name).is_file()]


def _imports(tree: ast.Module) -> list[str]:
    """Every module a tree may import, `from package import name` counting as package and package.name."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        for name, block in ast.iter_fields(node):
            if isinstance(block, list) and any(map(_is_docstring, block)):
                setattr(node, name, [part for part in block if not _is_docstring(part)] or [ast.Pass()])
    return tree


def _is_docstring(node: object) -> bool:
    """Whether it is a statement that is a text and does nothing."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _chosen_rows(tree: ast.Module, words: frozenset[str]) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            rows = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if _is_chosen(key, words)]
            node.keys, node.values = [key for key, _ in rows], [value for _, value in rows]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    tree.body = [pruned for statement in tree.body if (pruned := _prune(statement, used))]
    return tree


def _is_chosen(key: ast.expr | None, words: frozenset[str]) -> bool:
    return not isinstance(key, ast.Constant) or key.value in words


def _prune(statement: ast.stmt, used: set[str]) -> ast.stmt | None:
    """Leave out of a table's imports what no kept row uses."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        statement.names = [alias for alias in statement.names if (alias.asname or alias.name).split(".")[0] in used]
        return statement if statement.names else None
    return statement
