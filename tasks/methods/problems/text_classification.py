"""One label of a fixed set for each text: a classification head on any encoder or decoder of transformers.

Legend of shapes: N rows, C classes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from schemas.recipe.problem import TextClassification
from tasks.methods.problems.heads import load_with_head, refuse_if_padding_counts
from tasks.methods.problems.pooling import pool_last_token
from tasks.methods.problems.problem import ProblemMethods


def name_label(label: str) -> list[str]:
    """A label is a name."""
    return [label]


def find_stray(text: str, label: str, problem: TextClassification) -> str | None:
    """Give a label that is not one of the problem's."""
    return None if label in problem.labels else label


def encode_rows(tokenizer: Any, rows: pd.DataFrame, problem: TextClassification) -> pd.DataFrame:
    """Turn texts into token ids and labels, where there are any, into numbers."""
    table = encode_texts(tokenizer, list(rows["text"]), problem.max_tokens)
    return table.assign(labels=_class_numbers(rows, problem)) if "label" in rows else table


def encode_texts(tokenizer: Any, texts: list[str], max_tokens: int) -> pd.DataFrame:
    """Turn texts into token ids, cut at `max_tokens` but not padded."""
    # One more token than allowed tells which texts are too long without encoding them whole.
    lengths = [len(ids) for ids in tokenizer(texts, truncation=True, max_length=max_tokens + 1)["input_ids"]]
    # A text without tokens, such as a blank one of a tokenizer that adds none, is one end.
    nothing = [tokenizer.pad_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id]
    ids = [found or nothing for found in tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]]
    return pd.DataFrame({"input_ids": ids, "is_cut": [length > max_tokens for length in lengths]})


def load_model(folder: Path, problem: TextClassification, may_be_new: bool) -> Any:
    """Load the weights with a head that gives each class a logit."""
    from transformers import AutoModelForSequenceClassification

    model = pool_last_token(load_with_head(AutoModelForSequenceClassification, folder, problem.labels, may_be_new))
    return refuse_if_padding_counts(model) if may_be_new else model


def make_collator(tokenizer: Any, model: Any = None) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pad a batch to its longest row, never to a fixed length."""
    from transformers import DataCollatorWithPadding

    return DataCollatorWithPadding(tokenizer)


def answer_rows(model: Any, tokenizer: Any, rows: pd.DataFrame, problem: TextClassification) -> pd.DataFrame:
    """Answer with the class of the highest probability; p0..pC-1 are those of all classes."""
    from tasks.methods.problems.inference import logits_of

    encoded = encode_texts(tokenizer, list(rows["text"]), problem.max_tokens)
    logits_NC = np.stack(logits_of(model, encoded, make_collator(tokenizer)))
    exponentials_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    probabilities_NC = exponentials_NC / exponentials_NC.sum(axis=1, keepdims=True)
    answers = pd.DataFrame({"id": list(rows["id"]), "answer": probabilities_NC.argmax(axis=1)})
    answers["probability"] = probabilities_NC.max(axis=1)
    if "label" in rows:
        answers["truth"] = _class_numbers(rows, problem)
    for number in range(len(problem.labels)):
        answers[f"p{number}"] = probabilities_NC[:, number]
    return answers


def split_text(text: str) -> str:
    """A text is taken whole."""
    return text


def present_answers(answers: pd.DataFrame, rows: pd.DataFrame, problem: TextClassification) -> list[dict[str, Any]]:
    """A label, with the probability of each."""
    probabilities_NC = answers[[f"p{number}" for number in range(len(problem.labels))]].to_numpy()
    return [
        {
            "label": problem.labels[number],
            "probabilities": {label: float(value) for label, value in zip(problem.labels, row, strict=True)},
        }
        for number, row in zip(answers["answer"], probabilities_NC, strict=True)
    ]


def _class_numbers(rows: pd.DataFrame, problem: TextClassification) -> list[int]:
    numbers = {label: number for number, label in enumerate(problem.labels)}
    return [numbers[label] for label in rows["label"]]


METHODS = ProblemMethods(
    names=name_label,
    stray=find_stray,
    encode=encode_rows,
    load=load_model,
    collate=make_collator,
    answer=answer_rows,
    split=split_text,
    present=present_answers,
)
