"""The interface of a kind of problem; each entry of PROBLEMS implements it."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.methods.bases.vocabulary import refuse_unended
from tasks.methods.forms.form import ONE_LABEL, ONE_TEXT, Form
from tasks.methods.problems.encoded import Collate, shorten_row
from tasks.methods.rows import Value, normalise_text

# The file of the trained weights of a partly trained model.
TRAINED = "trained.safetensors"


@dataclass(frozen=True)
class Mistakes:
    """Selection and order of the predictions that a report lists.

    rank: (predictions) -> a number per row, the greatest is listed first; NaN for right predictions
    words: selection and order in words
    words_with_champion: the same if rows that the champion had right come first
    """

    rank: Callable[[pd.DataFrame], np.ndarray]
    words: str
    words_with_champion: str


def rank_wrong(answers: pd.DataFrame) -> np.ndarray:
    return np.where(answers["answer"] != answers["truth"], answers["probability"], np.nan)


WRONG_ANSWERS = Mistakes(
    rank=rank_wrong,
    words="wrong answers: the surest first",
    words_with_champion="wrong answers: rows the champion had right come first, then the surest ones",
)


def label_clause(problem: Any) -> tuple[str, str]:
    return (
        f"rows have a label that is not one of {', '.join(problem.labels)}",
        "Correct the labels, or add the new one to problem.labels.",
    )


def keep_label(label: Value) -> Value:
    return label


def keep_row(text: Any, label: Any, problem: Any) -> tuple[Any, Any]:
    return text, label


def as_written(answer: Any, problem: Any) -> str:
    return str(answer)


@dataclass(frozen=True)
class ProblemMethods:
    """The functions of a kind of problem for steps, commands and reports; `problem` is its part of the recipe.

    model_class: the name of transformers' class that opens models with the problem's head
    task: the hub's name of the task (https://huggingface.co/tasks), for model cards
    recognise: (architecture, names of id2label, config.json) -> the problem of a model's folder, with defaults for
        fields that config.json lacks; None: a model of another kind
    names: (label) -> the names from problem.labels in a row's label
    text_form, label_form: the forms of a text and a label
    invalid: (text, label, problem) -> the invalid part of a row's text or label, in words; None if it is valid
    convert: (text, label, problem) -> text and label of a valid row as the other functions read them
    encode: (tokenizer, rows, problem) -> a table of lists of token ids (`input_ids`) and targets (`labels`), with
        `is_cut`; a row read in several windows gives several rows
    load: (folder, problem, may_be_new) -> the model with the problem's head, in float32; RecipeError when the head has
        other labels and may not be new; in a folder with TRAINED the head of the other weights may be any
    collate: (tokenizer, model) -> a function that pads a list of encoded rows to the longest, as tensors
    answer: (model, tokenizer, rows, problem) -> a table of id, truth (where rows have a label), answer, and
        `probability`, the model's for that answer; truth and answer are comparable numbers or strings; the problem's
        metrics read further columns
    present: (answers, rows, problem) -> one prediction per row, as plain data
    describe: (a prediction of `present`) -> the same in words, on one line
    has_classes: whether truth and answer are class numbers, 0 to C-1, of the problem's labels
    agrees: (answer, answer) -> whether they are equal, up to the rounding that depends on the batch
    in_words: (truth or answer, problem) -> the same in words
    mistakes: the predictions that a report lists
    invalid_clause: (problem) -> the clause that rows with an `invalid` label break, in words, and its remedy
    same_label: (label) -> the canonical form of equivalent labels
    normalise: (a text of a user) -> the text as rows hold it
    shorten: (encoded row, length) -> the row with at most so many tokens, to save memory
    try_tokenizer: (tokenizer, configuration) -> nothing; RecipeError for a base whose tokenizer does not suit the kind
    """

    model_class: str
    task: str
    recognise: Callable[[str, tuple[str, ...], dict[str, Any]], Any | None]
    names: Callable[[Any], list[str]]
    invalid: Callable[[Any, Any, Any], str | None]
    encode: Callable[[Any, pd.DataFrame, Any], pd.DataFrame]
    load: Callable[[Path, Any, bool], Any]
    collate: Callable[[Any, Any], Collate]
    answer: Callable[[Any, Any, pd.DataFrame, Any], pd.DataFrame]
    present: Callable[[pd.DataFrame, pd.DataFrame, Any], list[dict[str, Any]]]
    describe: Callable[[dict[str, Any]], str]
    text_form: Form = ONE_TEXT
    label_form: Form = ONE_LABEL
    convert: Callable[[Any, Any, Any], tuple[Any, Any]] = keep_row
    has_classes: bool = False
    agrees: Callable[[Any, Any], bool] = eq
    in_words: Callable[[Any, Any], str] = as_written
    mistakes: Mistakes = WRONG_ANSWERS
    invalid_clause: Callable[[Any], tuple[str, str]] = label_clause
    same_label: Callable[[Any], Value] = keep_label
    normalise: Callable[[str], Value] = normalise_text
    shorten: Callable[[dict[str, Any], int], dict[str, Any]] = shorten_row
    try_tokenizer: Callable[[Any, Any], None] = refuse_unended

    @property
    def has_own_head(self) -> bool:
        """Whether a base may lack the problem's head, which is then new."""
        return self.model_class.endswith("Classification")
