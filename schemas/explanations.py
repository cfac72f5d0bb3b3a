"""Validation errors in words: one line for each fault, with the field, its line, the value and what is allowed."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from schemas.strict_yaml import Keys, Written, cut, explain_unquoted

Location = tuple[str | int, ...]
MAX_LINES = 20
VALUE_WIDTH = 80


def explain(error: ValidationError, root: type[BaseModel], where: str, written: dict[Keys, Written]) -> list[str]:
    """Describe the faults of values for `root`; `written` holds their lines, 0 for a value that is in no file."""
    lines = []
    problems: list[Any] = error.errors(include_url=False)
    meant = _meant_fields(problems, root, written)
    for problem in _distinct(problems, meant):
        path, model = _walk(problem["loc"], root)
        if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path = (*path, "kind")
        known = _longest_known(path, written)
        line = written[known].line if known in written else 0
        # A single value that stands for a list has no position in the file.
        field = known if known and written[known].spelling is not None else path
        place = f"{where}, line {line}" if line else where
        advice = f" Did you mean {meant[problem['loc']][-1]}?" if problem["loc"] in meant else ""
        lines.append(f"{place}: {_sentence(problem, field, model, written)}{advice}")
    more = [f"{where}: {len(lines) - MAX_LINES:,} more faults are not shown."] if len(lines) > MAX_LINES else []
    return [*lines[:MAX_LINES], *more]


def _distinct(problems: list[Any], meant: dict[Location, Location]) -> list[Any]:
    """Return the faults without those that only follow from others."""
    # A list with a wrong item is called too short as well.
    parents = {problem["loc"][:length] for problem in problems for length in range(len(problem["loc"]))}
    return [
        problem
        for problem in problems
        if problem["loc"] not in parents and not (problem["type"] == "missing" and problem["loc"] in meant.values())
    ]


def _meant_fields(problems: list[Any], root: type[BaseModel], written: dict[Keys, Written]) -> dict[Location, Location]:
    """Map unknown fields to those they stand for: one of a similar name, or the only one that is missing beside it."""
    unknown = [problem["loc"] for problem in problems if problem["type"] == "extra_forbidden"]
    missing = [problem["loc"] for problem in problems if problem["type"] == "missing"]
    meant: dict[Location, Location] = {}
    for location in unknown:
        path, model = _walk(location, root)
        closest = _closest(path[-1], model)
        beside = [[other for other in others if other[:-1] == location[:-1]] for others in (unknown, missing)]
        is_pair = [len(others) for others in beside] == [1, 1]
        if is_pair and (closest is None or (*path[:-1], closest) in written):
            meant[location] = beside[1][0]
        elif closest:
            meant[location] = (*location[:-1], closest)
    return meant


def _closest(name: str, model: type[BaseModel]) -> str | None:
    found = get_close_matches(name.lower().replace("-", "_"), model.model_fields, 1)
    return found[0] if found else None


def _sentence(problem: Any, path: Keys, model: type[BaseModel], written: dict[Keys, Written]) -> str:
    field = ".".join(map(cut, path)) or "the recipe"
    found, context = problem["input"], problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return f"{field} is missing; it is required."
        case "extra_forbidden":
            return f"{field} is not a field; the fields there are {', '.join(model.model_fields)}."
        case "union_tag_invalid":
            tag = written[path].spelling if path in written else context["tag"]
            kinds = context["expected_tags"].replace("'", "")
            return f"{field} is {cut(tag or '')!r}; expected one of {kinds}."
        case "union_tag_not_found":
            return f"{field.removesuffix('.kind')} has no kind; it is required."
        case "string_type" if found is None or isinstance(found, bool | int | float):
            spelling = written[path].spelling if path in written else str(found)
            return f"{field}: {explain_unquoted(spelling, found)}."
        case "tuple_type":
            return f"{field} is {_shown(found)}; expected a list, such as [a, b]."
        case "model_type" | "model_attributes_type":
            return f"{field} is {_shown(found)}; expected fields, such as {{name: value}}."
        case "value_error" if not path:
            return f"{problem['msg'].removeprefix('Value error, ')}."
        case _:
            return f"{field} is {_shown(found)}; {problem['msg'].removeprefix('Value error, ')}."


def _shown(found: Any) -> str:
    shown = repr(found)
    return shown if len(shown) <= VALUE_WIDTH else f"{shown[: VALUE_WIDTH - 3]}..."


def _longest_known(path: Keys, written: dict[Keys, Written]) -> Keys:
    return next((path[:length] for length in range(len(path), -1, -1) if path[:length] in written), ())


def _walk(location: Location, root: type[BaseModel]) -> tuple[Keys, type[BaseModel]]:
    """Return the path as written in the recipe, without the kinds that pydantic adds, and the last model on it."""
    path: list[str] = []
    model = root
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
    return tuple(path), model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
