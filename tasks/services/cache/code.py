"""The code digest of a step, and the versions of the libraries its code imports.

A Merkle digest over syntax trees: a module contributes its statements, and an import from `methods/` the digest of the
imported module. So a constant, a default or a function three imports away changes the digest, while the name and place
of a module, comments, docstrings, layout and the order of imports do not. Of a table (`table.py`) only the rows chosen
by a step's parameters contribute.
Imports of `schemas/` and `services/` are left out: their decisions reach a step as parameters and inputs.
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
from typing import Any

from schemas.errors import TunegateError
from schemas.frozen import digest_of

METHODS = "tasks.methods"
OWN = ("flows", "tasks", "schemas")
# They run the step, validate its arguments and report progress, but do not shape its result: an upgrade must not
# retrain every model.
NOT_PART_OF_RESULT = frozenset({"prefect", "pydantic", "httpx"})
# Libraries that shape the results of another one, though our code never imports them.
COMPANIONS = {"transformers": ("accelerate", "tokenizers"), "datasets": ("pyarrow",)}
ACCELERATOR_DRIVER = Path("/proc/driver/nvidia/version")
IMPORTS = (ast.Import, ast.ImportFrom)


def code_digest(module: str, words: frozenset[str]) -> str:
    """Compute the SHA-256 of a step's code; `words`, the strings of its parameters, choose rows of tables."""
    return _code_of(module, words).digest(module)


@cache
def environment(module: str, words: frozenset[str]) -> dict[str, str]:
    """Return the versions that may change a step's result: of Python and the distributions its code imports."""
    imported = {name.partition(".")[0] for tree in reached(module, words).values() for name in imports_of(tree)}
    outside = imported - set(sys.stdlib_module_names) - set(OWN) - NOT_PART_OF_RESULT
    owners = _distributions()
    outside |= {companion for package in outside for companion in COMPANIONS.get(package, ())}
    names = sorted({distribution for package in outside for distribution in owners.get(package, ())})
    versions = {name: importlib.metadata.version(name) for name in names}
    if "torch" in versions and ACCELERATOR_DRIVER.exists():
        versions["accelerator"] = ACCELERATOR_DRIVER.read_text().splitlines()[0].strip()
    return {"python": ".".join(platform.python_version_tuple()[:2]), **versions}


def reached(module: str, words: frozenset[str]) -> dict[str, ast.Module]:
    """Return the syntax trees that a step's digest covers, by module: its own and those it reaches in `methods/`."""
    return _code_of(module, words).trees


def check_unedited(module: str, words: frozenset[str]) -> None:
    """Refuse to run a step whose code was edited after this process computed its first key. Raises TunegateError.

    The process may have loaded it before, and would record the results of the old code as those of the new.
    """
    first_seen = _first_seen()
    for path in _code_of(module, words).files:
        # A file that came later was never loaded before.
        if path in first_seen and _file_digest(path) != first_seen[path]:
            raise TunegateError(
                f"{path} was edited after this run began, so the results would be recorded as those of the edited "
                "code. Run again: finished steps are not repeated."
            )


@cache
def _first_seen() -> dict[Path, str]:
    """Digests of the files of the steps' package, as they were when this was first called."""
    root = _source(f"{METHODS.partition('.')[0]}.__init__")
    assert root is not None, f"{METHODS} is in no package"
    files = [path for path in root.parent.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    return {path: _file_digest(path) for path in files}


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _code_of(module: str, words: frozenset[str]) -> "_Code":
    code = _Code(words)
    code.digest(module)
    return code


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


class _Code:
    """Syntax trees and digests of modules, for one choice of table rows."""

    def __init__(self, words: frozenset[str]) -> None:
        self.trees: dict[str, ast.Module] = {}
        self.files: list[Path] = []
        self._words = words
        self._digests: dict[str, str | None] = {}

    def digest(self, module: str) -> str:
        """Compute a module's digest. Raises RuntimeError for an import cycle, which has no Merkle digest."""
        if module in self._digests:
            known = self._digests[module]
            if known is None:
                raise RuntimeError(f"{module} is in an import cycle: break it")
            return known
        self._digests[module] = None
        path = _source(module)
        assert path is not None, f"{module} has no source"
        tree = _parse(path)
        if path.name == "table.py":
            tree = _chosen_rows(copy.deepcopy(tree), self._words)
        self.trees[module] = tree
        data = _data_files(path, tree)
        self.files += [path, *data]
        targets, imported = self._targets(tree)
        parts = [_form(tree, targets), sorted(imported), [_file_digest(found) for found in data]]
        found = self._digests[module] = digest_of(parts)
        return found

    def _targets(self, tree: ast.Module) -> tuple[dict[str, Any], set[str]]:
        """Map each name bound by an import from `methods/` to its module's digest and its name there.

        The set holds the digests of all that is imported, also what is only handed on, or bound twice.
        """
        targets: dict[str, Any] = {}
        imported: set[str] = set()
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not is_below(METHODS, node.module):
                continue
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = _source(whole) is not None
                target = [self.digest(whole)] if is_module else [self.digest(str(node.module)), alias.name]
                targets[alias.asname or alias.name] = target
                imported.add(target[0])
        return targets, imported


@cache
def _parse(path: Path) -> ast.Module:
    return _EffectiveCode().visit(ast.parse(path.read_text(encoding="utf-8")))  # type: ignore[no-any-return]


def _source(module: str) -> Path | None:
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], *module.split(".")[1:]).with_suffix(".py")
    return path if path.is_file() else None


def _data_files(source: Path, tree: ast.Module) -> list[Path]:
    """Find the files beside a module that it names, such as a word list."""
    names = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    plain = sorted(name for name in names if "." in name and "/" not in name and "\0" not in name and len(name) < 100)
    return [source.parent / name for name in plain if (source.parent / name).is_file()]


def is_below(package: str, module: str | None) -> bool:
    """Whether a module is a package or inside it."""
    return f"{module}.".startswith(f"{package}.")


def imports_of(tree: ast.AST) -> list[str]:
    """List the modules a tree may import; `from package import name` counts as package and package.name."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


class _EffectiveCode(ast.NodeTransformer):
    """Removes statements without effect: docstrings, also of fields, and imports for type checkers."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name, block in ast.iter_fields(node):
            if isinstance(block, list) and any(map(_is_text, block)):
                setattr(node, name, [part for part in block if not _is_text(part)] or [ast.Pass()])
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if is_for_types else node


def _is_text(node: object) -> bool:
    """Whether a node is a string statement, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _form(node: Any, targets: dict[str, Any]) -> Any:
    """Convert a tree to plain data, equal for equal meaning across versions of Python; `targets` replace names."""
    if isinstance(node, list):
        imports = [form for part in node if isinstance(part, IMPORTS) for form in _bindings(part)]
        return [*sorted(imports, key=repr), *(_form(part, targets) for part in node if not isinstance(part, IMPORTS))]
    if isinstance(node, ast.Name) and node.id in targets:
        return targets[node.id]
    if isinstance(node, ast.AST):
        # Newer versions of Python add fields, empty by default. `kind` marks u"...".
        fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, []) and name != "kind"}
        return [type(node).__name__, {name: _form(value, targets) for name, value in fields.items()}]
    return repr(node)


def _bindings(statement: ast.Import | ast.ImportFrom) -> list[Any]:
    """List an import's bindings of names from outside our packages."""
    module = statement.module if isinstance(statement, ast.ImportFrom) else None
    return [
        ["import", module, alias.name, alias.asname]
        for alias in statement.names
        if not any(is_below(package, module or alias.name) for package in (*OWN, METHODS))
    ]


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
    """Remove names that no kept row uses from a table's imports."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        statement.names = [alias for alias in statement.names if (alias.asname or alias.name).split(".")[0] in used]
        return statement if statement.names else None
    return statement
