"""One label of a fixed set for each text: a classification head on any encoder or decoder of transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from schemas.errors import RecipeError
from schemas.problems import TextClassification
from tasks.methods.problems.problem import ProblemMethods


def encode_rows(tokenizer: Any, rows: pd.DataFrame, problem: TextClassification) -> pd.DataFrame:
    """Turn texts into token ids, cut at `max_tokens` but not padded, and labels, where there are any, into numbers."""
    texts = list(rows["text"])
    # One more token than allowed tells which texts are too long without encoding them whole.
    lengths = [len(ids) for ids in tokenizer(texts, truncation=True, max_length=problem.max_tokens + 1)["input_ids"]]
    encoded = tokenizer(texts, truncation=True, max_length=problem.max_tokens)
    is_cut = [length > problem.max_tokens for length in lengths]
    table = pd.DataFrame({"input_ids": encoded["input_ids"], "is_cut": is_cut})
    return table.assign(labels=_class_numbers(rows, problem)) if "label" in rows else table


def load_model(folder: Path, problem: TextClassification, may_be_new: bool) -> Any:
    """Load the weights with a head for the problem's labels.

    With `may_be_new` a missing or different head is initialised from torch's seed; without it, it is refused.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from tasks.methods.problems.pooling import pool_last_token

    names = dict(enumerate(problem.labels))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if not may_be_new and config.id2label != names:
        raise RecipeError(
            f"The model answers with the labels {', '.join(map(str, config.id2label.values()))}, but problem.labels is "
            f"{', '.join(problem.labels)}. A model can be judged on its own labels only: promote the new ones under "
            "another promotion.model."
        )
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=len(names),
        id2label=names,
        label2id={label: number for number, label in names.items()},
        # Without it weights stay in the checkpoint's own type, bfloat16 for many.
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=may_be_new,
    )
    return pool_last_token(model)


def make_collator(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pad a batch to its longest row, never to a fixed length."""
    from transformers import DataCollatorWithPadding

    return DataCollatorWithPadding(tokenizer)


def answer_rows(logits_NC: np.ndarray, rows: pd.DataFrame, problem: TextClassification) -> pd.DataFrame:
    """Turn logits into an answer with a probability for each class, row by row."""
    exponentials_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    probabilities_NC = exponentials_NC / exponentials_NC.sum(axis=1, keepdims=True)
    answers = pd.DataFrame({"id": list(rows["id"]), "answer": probabilities_NC.argmax(axis=1)})
    if "label" in rows:
        answers["truth"] = _class_numbers(rows, problem)
    for number in range(len(problem.labels)):
        answers[f"p{number}"] = probabilities_NC[:, number]
    return answers


def _class_numbers(rows: pd.DataFrame, problem: TextClassification) -> list[int]:
    numbers = {label: number for number, label in enumerate(problem.labels)}
    return [numbers[label] for label in rows["label"]]


METHODS = ProblemMethods(encode=encode_rows, load=load_model, collate=make_collator, answer=answer_rows)
