"""Answers of a model for texts, outside any flow run."""

import json
from pathlib import Path

import pandas as pd

from schemas.errors import UsageError
from schemas.frozen import Frozen
from schemas.problems import Problem, TextClassification
from schemas.references import ModelRef
from schemas.settings import Settings
from tasks.evaluation import answer
from tasks.methods.rows import normalise_text
from tasks.services.embedded import open_store
from tasks.services.registry import read_manifest, resolve_reference, unpacked


class Prediction(Frozen):
    label: str
    probabilities: dict[str, float]


def predict_texts(reference: str, texts: list[str], settings: Settings) -> list[Prediction]:
    """Label texts with `name@alias`, `name@version` or a folder. Raises UsageError, StoreError."""
    if "@" not in reference:
        folder = Path(reference)
        return _predict(folder, texts, _problem_of(folder))
    store = open_store(settings)
    name, version = resolve_reference(store, reference)
    manifest = read_manifest(store, name, version)
    with unpacked(store, ModelRef.of(manifest.files)) as folder:
        return _predict(folder, texts, manifest.problem)


def _predict(folder: Path, texts: list[str], problem: Problem) -> list[Prediction]:
    # As the texts it was trained and judged on.
    normal = [normalise_text(text) for text in texts]
    rows = pd.DataFrame({"id": [str(number) for number in range(len(texts))], "text": normal})
    answers = answer(folder, rows, problem)
    probabilities = answers[[f"p{number}" for number in range(len(problem.labels))]].to_numpy()
    return [
        Prediction(
            label=problem.labels[number],
            probabilities={label: float(value) for label, value in zip(problem.labels, row, strict=True)},
        )
        for number, row in zip(answers["answer"], probabilities, strict=True)
    ]


def _problem_of(folder: Path) -> Problem:
    """A folder says its labels in its configuration."""
    config = folder / "config.json"
    if not config.is_file():
        raise UsageError(
            f"{folder}: expected NAME@ALIAS (such as {folder.name}@champion), NAME@VERSION or a model's folder; "
            f"there is no {config}."
        )
    names = json.loads(config.read_text(encoding="utf-8")).get("id2label", {})
    if len(names) < 2:
        raise UsageError(f"{config}: it names no labels (id2label), so this is not a classifier.")
    return TextClassification(labels=tuple(names[key] for key in sorted(names, key=int)))
