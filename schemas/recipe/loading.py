"""Loading of recipes from YAML; errors name the field, the value and the allowed values."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from schemas.errors import RecipeError
from schemas.frozen import NAME_PATTERN
from schemas.recipe.recipe import Recipe


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe; each override is `a.b=value`, the value parsed as YAML. Raises RecipeError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such recipe. Give the path of a YAML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: this is not a readable YAML file: {error}") from None
    return read_recipe(text, str(path), overrides)


def read_recipe(text: str, where: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe from YAML, which JSON is too; `where` is its name in messages. Raises RecipeError."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: this is not a readable YAML file: {error}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{where}: found {type(values).__name__}, expected a mapping that starts with 'name: ...'.")
    for override in overrides:
        _apply_override(values, override)
    return parse_recipe(values, where)


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


def parse_recipe(values: dict[str, Any], where: str) -> Recipe:
    """Check values against the recipe's fields. Raises RecipeError naming every wrong field."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        lines = [f"{where}: {_explain(problem)}" for problem in error.errors(include_url=False)]
        raise RecipeError("\n".join(lines)) from None


def _apply_override(values: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    *parents, last = dotted.split(".")
    if not equals or not all((*parents, last)):
        raise RecipeError(f"--set {override}: expected field=value, such as training.epochs=3.")
    node: Any = values
    for parent in parents:
        node = _child(node, parent, override)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(f"--set {override}: {text!r} is not a YAML value.") from None
    if isinstance(node, list):
        node[_index(node, last, override)] = value
    else:
        node[last] = value


def _child(node: Any, key: str, override: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, key, override)]
    child = node.setdefault(key, {})
    if not isinstance(child, dict | list):
        raise RecipeError(f"--set {override}: {key} is {child!r}, which has no fields.")
    return child


def _index(node: list[Any], key: str, override: str) -> int:
    if not key.isdigit() or int(key) >= len(node):
        raise RecipeError(f"--set {override}: {key!r} is not one of the positions 0 to {len(node) - 1}.")
    return int(key)


def _explain(problem: Any) -> str:
    path, model = _walk(problem["loc"])
    field = ".".join(path) or "the recipe"
    found = problem["input"]
    match problem["type"]:
        case "missing":
            return f"{field} is missing; it is required."
        case "extra_forbidden":
            return f"{field} is not a field; the fields there are {', '.join(model.model_fields)}."
        case "union_tag_invalid":
            kinds = problem["ctx"]["expected_tags"].replace("'", "")
            return f"{field}.kind is {problem['ctx']['tag']!r}; expected one of {kinds}."
        case "union_tag_not_found":
            return f"{field} has no kind; it is required."
        case "value_error" if not path:
            return f"{problem['msg'].removeprefix('Value error, ')}."
        case _:
            shown = repr(found) if len(repr(found)) <= 80 else f"{repr(found)[:77]}..."
            return f"{field} is {shown}; {problem['msg'].removeprefix('Value error, ')}."


def _walk(location: tuple[str | int, ...]) -> tuple[list[str], type[BaseModel]]:
    """Return the path as written in the recipe, without the kinds that pydantic adds, and the last model on it."""
    path: list[str] = []
    model: type[BaseModel] = Recipe
    choices: list[type[BaseModel]] = []
    for part in location:
        if len(choices) > 1 and isinstance(part, str):
            # The kind by which one of several models was chosen.
            model = next(choice for choice in choices if choice.model_fields["kind"].default == part)
            choices = []
            continue
        path.append(str(part))
        if isinstance(part, str) and part in model.model_fields:
            choices = list(_models_in(model.model_fields[part].annotation))
            model = choices[0] if len(choices) == 1 else model
    return path, model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
