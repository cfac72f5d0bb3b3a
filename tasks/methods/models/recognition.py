"""The problem of a model's folder that has no manifest, recognised by its config.json."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.errors import Corrupt, UsageError
from schemas.recipe.problem import Problem
from tasks.methods.problems.table import PROBLEMS

FORM = 'the labels\' names by number, such as {"0": "negative", "1": "positive"}'
SHOWN = 80


def read_config(path: Path) -> dict[str, Any]:
    """Read a config.json. Raises Corrupt unless it is a JSON object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise Corrupt(f"{path}: it is no JSON object, so it was altered or cut off. Pull or copy the model again.")
    return values


def recognise_problem(config: dict[str, Any], where: Path) -> Problem:
    """Return the problem of a model by its configuration, with defaults for the rest. Raises UsageError."""
    names = label_names(config, where)
    architecture = _architecture(config, where)
    try:
        recognised = (methods.recognise(architecture, names, config) for methods in PROBLEMS.values())
        problem: Problem | None = next(filter(None, recognised), None)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where}: the names of id2label do not suit {architecture}: {reason}.") from None
    if problem is None:
        raise UsageError(f"{where}: it names no labels, so the model's problem is unknown: id2label holds {FORM}.")
    return problem


def label_names(config: dict[str, Any], where: Path) -> tuple[str, ...]:
    """Return the names of id2label in the order of their numbers, none without it. Raises UsageError."""
    found = config.get("id2label", {})
    names = found if isinstance(found, dict) else {}
    by_number = {number: names.get(str(number)) for number in range(len(names))}
    is_named = all(isinstance(name, str) and name.strip() for name in by_number.values())
    if not isinstance(found, dict) or not is_named or len(set(by_number.values())) < len(names):
        shown = json.dumps(found)
        shown = shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 3]}..."
        raise UsageError(f"{where}: id2label is {shown}; expected {FORM}: from 0 without gaps, each name once.")
    return tuple(map(str, by_number.values()))


def _architecture(config: dict[str, Any], where: Path) -> str:
    found = config.get("architectures") or [""]
    if not isinstance(found, list) or not isinstance(found[0], str):
        raise UsageError(f'{where}: architectures is no list of names, such as ["BertForSequenceClassification"].')
    return found[0]
