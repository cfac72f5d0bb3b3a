"""Text classification: one label for each text, by a head on any encoder or decoder of transformers.

Legend of shapes: N rows, C classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from schemas.recipe.problem import TextClassification
from tasks.methods.bases.plain_text import without_special_tokens
from tasks.methods.forms.form import shown
from tasks.methods.forms.spelling import name_of
from tasks.methods.problems.encoded import Collate
from tasks.methods.problems.heads import load_with_head
from tasks.methods.problems.problem import ProblemMethods

# The problem_type in config.json of such models.
PROBLEM_TYPE = "single_label_classification"


def recognise(architecture: str, names: tuple[str, ...], config: dict[str, Any]) -> TextClassification | None:
    """Recognise every model with several names; table.py tries other kinds first."""
    return TextClassification(labels=names) if len(names) > 1 else None


def name_label(label: str) -> list[str]:
    return [label]


def find_invalid(text: str, label: str, problem: TextClassification) -> str | None:
    return None if name_of(label, problem.labels) in problem.labels else shown(label)


def convert(text: str, label: str, problem: TextClassification) -> tuple[str, str]:
    """Spell the label as the recipe does."""
    return text, name_of(label, problem.labels)


def encode_rows(tokenizer: Any, rows: pd.DataFrame, problem: TextClassification) -> pd.DataFrame:
    """Encode texts as token ids, and labels, if there are any, as numbers."""
    table = encode_texts(tokenizer, list(rows["text"]), problem.max_tokens)
    return table.assign(labels=_class_numbers(rows, problem)) if "label" in rows else table


def encode_texts(tokenizer: Any, texts: list[str], max_tokens: int) -> pd.DataFrame:
    """Encode texts as token ids, cut at `max_tokens` but not padded."""
    texts = without_special_tokens(tokenizer, texts)
    # One more token than allowed shows which texts are too long without encoding the rest.
    lengths = [len(ids) for ids in tokenizer(texts, truncation=True, max_length=max_tokens + 1)["input_ids"]]
    # A text without tokens, such as a blank one, is encoded as one end token.
    nothing = [tokenizer.pad_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id]
    ids = [found or nothing for found in tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]]
    return pd.DataFrame({"input_ids": ids, "is_cut": [length > max_tokens for length in lengths]})


def load_model(folder: Path, problem: TextClassification, may_be_new: bool) -> Any:
    from transformers import AutoModelForSequenceClassification

    return load_with_head(
        AutoModelForSequenceClassification, folder, problem.labels, may_be_new, problem_type=PROBLEM_TYPE
    )


def make_collator(tokenizer: Any, model: Any = None) -> Collate:
    """Pad a batch to its longest row, never to a fixed length."""
    from transformers import DataCollatorWithPadding

    return DataCollatorWithPadding(tokenizer)


def answer_rows(model: Any, tokenizer: Any, rows: pd.DataFrame, problem: TextClassification) -> pd.DataFrame:
    """Predict the class of the highest probability; p0..pC-1 are the probabilities of all classes."""
    from tasks.methods.problems.inference import logits_of, softmax

    encoded = encode_texts(tokenizer, list(rows["text"]), problem.max_tokens)
    logits_NC = np.stack(logits_of(model, encoded, make_collator(tokenizer)))
    probabilities_NC = softmax(logits_NC)
    answers = pd.DataFrame({"id": list(rows["id"]), "answer": probabilities_NC.argmax(axis=1)})
    answers["probability"] = probabilities_NC.max(axis=1)
    if "label" in rows:
        answers["truth"] = _class_numbers(rows, problem)
    return answers.assign(**{f"p{number}": values_N for number, values_N in enumerate(probabilities_NC.T)})


def present_answers(answers: pd.DataFrame, rows: pd.DataFrame, problem: TextClassification) -> list[dict[str, Any]]:
    probabilities = probabilities_by_label(answers, problem.labels)
    return [
        {"label": problem.labels[number], "probabilities": by_label}
        for number, by_label in zip(answers["answer"], probabilities, strict=True)
    ]


def probabilities_by_label(answers: pd.DataFrame, labels: tuple[str, ...]) -> list[dict[str, float]]:
    probabilities_NC = answers.filter(regex=r"^p\d+$").to_numpy()
    return [dict(zip(labels, row, strict=True)) for row in probabilities_NC.tolist()]


def describe(prediction: dict[str, Any]) -> str:
    return f"{prediction['label']}  {prediction['probabilities'][prediction['label']]:.3f}"


def in_words(number: int, problem: TextClassification) -> str:
    return problem.labels[number]


def _class_numbers(rows: pd.DataFrame, problem: TextClassification) -> list[int]:
    numbers = {label: number for number, label in enumerate(problem.labels)}
    return [numbers[label] for label in rows["label"]]


METHODS = ProblemMethods(
    model_class="AutoModelForSequenceClassification",
    task="text-classification",
    recognise=recognise,
    names=name_label,
    invalid=find_invalid,
    convert=convert,
    encode=encode_rows,
    load=load_model,
    collate=make_collator,
    answer=answer_rows,
    present=present_answers,
    describe=describe,
    has_classes=True,
    in_words=in_words,
)
