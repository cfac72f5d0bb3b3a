"""The functions and values that make a kind of problem; a row of PROBLEMS is one of these."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.methods.problems.encoded import Collate, shorten_row
from tasks.methods.rows import Value, normalise_text

# Of a model that was trained in part: the file of the weights that were trained.
TRAINED = "trained.safetensors"


@dataclass(frozen=True)
class Mistakes:
    """Which predictions a report lists, and which of them first.

    rank: (answers) -> a number per row, the greatest is listed first; NaN where the prediction is right
    words: what is listed, and in which order
    words_with_champion: the same where rows that the champion had right come first
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


def as_written(answer: Any, problem: Any) -> str:
    return str(answer)


@dataclass(frozen=True)
class ProblemMethods:
    """All that steps, commands and reports ask of a kind of problem; `problem` is its part of the recipe.

    task: the hub's name of the task (https://huggingface.co/tasks), for model cards
    recognise: (architecture, names of id2label, config.json) -> the problem that a model's folder answers, its fields
        the defaults where config.json does not say them; None: a model of another kind
    names: (label) -> the names among problem.labels that a row's label holds
    invalid: (text, label, problem) -> what of a row's text or label does not fit, in words; None when all does
    encode: (tokenizer, rows, problem) -> a table of lists of token ids (`input_ids`) and targets (`labels`), with
        `is_cut`; a row that is read in several windows is several rows of it
    load: (folder, problem, may_be_new) -> the model with the problem's head, in float32; RecipeError when the head is
        for other labels and may not be new; in a folder with TRAINED the other weights' head may be any
    collate: (tokenizer, model) -> a function that pads a list of encoded rows to the longest and makes tensors
    answer: (model, tokenizer, rows, problem) -> a table of id, truth (where rows have a label), answer, and
        `probability`, the model's own of that answer; truth and answer are numbers or strings that can be compared;
        further columns are what the problem's metrics read
    present: (answers, rows, problem) -> a prediction for programs, row by row
    describe: (prediction that `present` gave) -> the same for people, on one line
    has_classes: truth and answer are numbers of the problem's labels, 0 to C-1, so that rows fall into classes
    agrees: (answer, answer) -> whether they are the same, up to what the batch that a row is in does to rounding
    in_words: (truth or answer, problem) -> the same for people
    mistakes: which predictions a report lists
    invalid_clause: (problem) -> what rows with an `invalid` label break, in words, and its remedy
    same_label: (label) -> a label that equals those that mean the same
    normalise: (a text as a user gives it) -> as the problem's rows hold it
    shorten: (encoded row, length) -> the row with at most so many tokens, where memory asks for it
    """

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
    has_classes: bool = False
    agrees: Callable[[Any, Any], bool] = eq
    in_words: Callable[[Any, Any], str] = as_written
    mistakes: Mistakes = WRONG_ANSWERS
    invalid_clause: Callable[[Any], tuple[str, str]] = label_clause
    same_label: Callable[[Any], Value] = keep_label
    normalise: Callable[[str], Value] = normalise_text
    shorten: Callable[[dict[str, Any], int], dict[str, Any]] = shorten_row
