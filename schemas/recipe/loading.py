"""Loading of recipes from YAML; errors name the field, the value and the allowed values."""

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.errors import RecipeError
from schemas.explanations import explain
from schemas.frozen import NAME_PATTERN
from schemas.recipe.recipe import Recipe
from schemas.strict_yaml import MAX_BYTES, MAX_DEPTH, Keys, Written, cut, read_yaml


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe; each override is `a.b=value`, the value parsed as YAML. Raises RecipeError."""
    try:
        with path.open("rb") as file:
            # One more than allowed shows that it is too large, without reading all of it.
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such recipe. Give the path of a YAML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: this is not a readable YAML file: {error}") from None
    return read_recipe(text, str(path), overrides)


def read_recipe(text: str, where: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe from YAML, which JSON is too; `where` is its name in messages. Raises RecipeError."""
    values, written = read_yaml(text, where)
    if not isinstance(values, dict):
        raise RecipeError(f"{where}: found {type(values).__name__}, expected a mapping that starts with 'name: ...'.")
    for override in overrides:
        _apply_override(values, written, override)
    return parse_recipe(values, where, written)


def load_methods(recipe: Recipe, path: Path, names: list[str], overrides: tuple[str, ...]) -> dict[str, Recipe]:
    """Return by name variants of `recipe`, read from `path`, with other tunings.

    A name is a kind of tuning, with its defaults and learning rate unless it is the recipe's kind, or the path of
    another recipe, whose tuning and training are used. Raises RecipeError.
    """
    found: dict[str, Recipe] = {}
    for name in map(str.strip, names):
        if name.endswith((".yaml", ".yml")) and re.fullmatch(NAME_PATTERN, Path(name).stem):
            other = load_recipe(Path(name), overrides)
            parts = other.model_dump(include={"tuning", "training"})
            found[Path(name).stem] = parse_recipe(recipe.model_dump() | parts, f"{path} with the training of {name}")
        elif name == recipe.tuning.kind:
            found[name] = recipe
        elif not re.fullmatch("[a-z]+", name):
            raise RecipeError(f"--tuning: found {name!r}, expected a kind of tuning or a recipe such as my-lora.yaml.")
        else:
            found[name] = load_recipe(path, (*overrides, f"tuning={{kind: {name}}}", "training.learning_rate=null"))
    if len(found) < len(names):
        raise RecipeError(f"--tuning {','.join(names)}: each method is shown by its name, but one is there twice.")
    return found


def parse_recipe(values: dict[str, Any], where: str, written: dict[Keys, Written] | None = None) -> Recipe:
    """Check values against the recipe's fields. Raises RecipeError naming every wrong field."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError("\n".join(explain(error, Recipe, where, written or {}))) from None


def _apply_override(values: dict[str, Any], written: dict[Keys, Written], override: str) -> None:
    dotted, equals, text = override.partition("=")
    where = f"--set {cut(override)}"
    *parents, last = path = tuple(dotted.split("."))
    if not equals or not all(path):
        raise RecipeError(f"{where}: expected field=value, such as training.epochs=3.")
    if len(path) > MAX_DEPTH:
        raise RecipeError(f"{where}: no field is nested more than {MAX_DEPTH} deep.")
    node: Any = values
    for parent in parents:
        node = _child(node, parent, where)
    value, spellings = read_yaml(text, where)
    if isinstance(node, list):
        node[_index(node, last, where)] = value
    else:
        node[last] = value
    for old in [keys for keys in written if keys[: len(path)] == path]:
        del written[old]
    written |= {(*path, *keys): Written(0, one.spelling) for keys, one in spellings.items()}
    for length in range(1, len(path)):
        written.setdefault(path[:length], Written(0, None))


def _child(node: Any, key: str, where: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, key, where)]
    child = node.setdefault(key, {})
    if not isinstance(child, dict | list):
        raise RecipeError(f"{where}: {cut(key)} is {cut(repr(child))}, which has no fields.")
    return child


def _index(node: list[Any], key: str, where: str) -> int:
    if not node:
        raise RecipeError(f"{where}: {cut(key)!r} is a position in a list that is empty; give the list whole.")
    if not re.fullmatch("[0-9]{1,9}", key) or int(key) >= len(node):
        raise RecipeError(f"{where}: {cut(key)!r} is not one of the positions 0 to {len(node) - 1}.")
    return int(key)
