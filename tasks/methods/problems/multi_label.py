"""Multi-label classification: one sigmoid for each label. Source: Zhang and Zhou 2014, binary relevance.

Prediction and truth are strings of C zeros and ones. Legend of shapes: N rows, C labels.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from schemas.recipe.problem import MultiLabelClassification
from tasks.methods.forms.form import LABELS, shown
from tasks.methods.forms.spelling import name_of
from tasks.methods.problems.encoded import Collate
from tasks.methods.problems.heads import load_with_head
from tasks.methods.problems.problem import ProblemMethods
from tasks.methods.problems.text_classification import encode_texts, make_collator, probabilities_by_label

# The problem_type in config.json of such models.
PROBLEM_TYPE = "multi_label_classification"


def recognise(architecture: str, names: tuple[str, ...], config: dict[str, Any]) -> MultiLabelClassification | None:
    is_one = bool(names) and config.get("problem_type") == PROBLEM_TYPE
    return MultiLabelClassification(labels=names) if is_one else None


def name_labels(labels: Iterable[str]) -> list[str]:
    return list(labels)


def find_invalid(text: str, labels: list[str], problem: MultiLabelClassification) -> str | None:
    unknown = [label for label in labels if name_of(label, problem.labels) not in problem.labels]
    return shown(unknown[0]) if unknown else None


def convert(text: str, labels: list[str], problem: MultiLabelClassification) -> tuple[str, list[str]]:
    """Spell the labels as the recipe does."""
    return text, [name_of(label, problem.labels) for label in labels]


def sort_labels(labels: Any) -> Any:
    return sorted(set(labels)) if isinstance(labels, list) else labels


def encode_rows(tokenizer: Any, rows: pd.DataFrame, problem: MultiLabelClassification) -> pd.DataFrame:
    """Encode texts as token ids and lists of labels as C numbers 0 or 1."""
    table = encode_texts(tokenizer, list(rows["text"]), problem.max_tokens)
    return table.assign(labels=list(_truth_NC(rows, problem).astype(float))) if "label" in rows else table


def load_model(folder: Path, problem: MultiLabelClassification, may_be_new: bool) -> Any:
    from transformers import AutoModelForSequenceClassification

    return load_with_head(
        AutoModelForSequenceClassification, folder, problem.labels, may_be_new, problem_type=PROBLEM_TYPE
    )


def collate_rows(tokenizer: Any, model: Any = None) -> Collate:
    """Pad as for one label; targets are float32, as the loss requires."""
    pad = make_collator(tokenizer)

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = pad(rows)
        return batch | {"labels": batch["labels"].float()} if "labels" in batch else batch

    return collate


def answer_rows(model: Any, tokenizer: Any, rows: pd.DataFrame, problem: MultiLabelClassification) -> pd.DataFrame:
    """Predict every label whose probability reaches the threshold; p0..pC-1 are the probabilities of all labels."""
    from tasks.methods.problems.inference import logits_of

    encoded = encode_texts(tokenizer, list(rows["text"]), problem.max_tokens)
    probabilities_NC = 1 / (1 + np.exp(-np.stack(logits_of(model, encoded, make_collator(tokenizer)))))
    is_given_NC = probabilities_NC >= problem.threshold
    answers = pd.DataFrame({"id": list(rows["id"]), "answer": _as_bits(is_given_NC)})
    answers["probability"] = np.where(is_given_NC, probabilities_NC, 1 - probabilities_NC).prod(axis=1)
    if "label" in rows:
        answers["truth"] = _as_bits(_truth_NC(rows, problem))
    return answers.assign(**{f"p{number}": values_N for number, values_N in enumerate(probabilities_NC.T)})


def present_answers(
    answers: pd.DataFrame, rows: pd.DataFrame, problem: MultiLabelClassification
) -> list[dict[str, Any]]:
    probabilities = probabilities_by_label(answers, problem.labels)
    return [
        {"labels": _given(bits, problem), "probabilities": by_label}
        for bits, by_label in zip(answers["answer"], probabilities, strict=True)
    ]


def describe(prediction: dict[str, Any]) -> str:
    given = [f"{label}  {prediction['probabilities'][label]:.3f}" for label in prediction["labels"]]
    return "  ".join(given) or "no label"


def in_words(bits: str, problem: MultiLabelClassification) -> str:
    return ", ".join(_given(bits, problem)) or "(none)"


def _given(bits: str, problem: MultiLabelClassification) -> list[str]:
    return [label for label, bit in zip(problem.labels, bits, strict=True) if bit == "1"]


def _truth_NC(rows: pd.DataFrame, problem: MultiLabelClassification) -> np.ndarray:
    return np.array([[name in set(labels) for name in problem.labels] for labels in rows["label"]])


def _as_bits(is_given_NC: np.ndarray) -> list[str]:
    return ["".join("01"[int(bit)] for bit in row) for row in is_given_NC]


METHODS = ProblemMethods(
    model_class="AutoModelForSequenceClassification",
    task="text-classification",
    recognise=recognise,
    names=name_labels,
    label_form=LABELS,
    invalid=find_invalid,
    convert=convert,
    encode=encode_rows,
    load=load_model,
    collate=collate_rows,
    answer=answer_rows,
    present=present_answers,
    describe=describe,
    in_words=in_words,
    same_label=sort_labels,
)
