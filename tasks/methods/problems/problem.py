"""The functions that make a kind of problem; a row of PROBLEMS is one of these."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.methods.problems.encoded import shorten_row

# Of a model that was trained in part: the file of the weights that were trained.
TRAINED = "trained.safetensors"


@dataclass(frozen=True)
class ProblemMethods:
    """How rows of a problem are checked, encoded, learned from and answered.

    names: (label) -> the names among problem.labels that a row's label holds
    stray: (text, label, problem) -> what of a row's text or label does not fit, in words; None when all does
    encode: (tokenizer, rows, problem) -> a table of lists of token ids (`input_ids`) and targets (`labels`), with
        `is_cut`; a row that is read in several windows is several rows of it
    load: (folder, problem, may_be_new) -> the model with the problem's head, in float32; RecipeError when the head is
        for other labels and may not be new; in a folder with TRAINED the other weights' head may be any
    collate: (tokenizer, model) -> a function that pads a list of encoded rows to the longest and makes tensors
    answer: (model, tokenizer, rows, problem) -> a table of id, truth (where rows have a label), answer, and
        `probability`, the model's own of that answer; truth and answer are numbers or strings that can be compared;
        further columns are what the problem's metrics read
    shorten: (encoded row, length) -> the row with at most so many tokens, where memory asks for it
    split: (text) -> the text as the problem's rows hold it
    present: (answers, rows, problem) -> an answer for people and programs, row by row
    """

    names: Callable[[Any], list[str]]
    stray: Callable[[Any, Any, Any], str | None]
    encode: Callable[[Any, pd.DataFrame, Any], pd.DataFrame]
    load: Callable[[Path, Any, bool], Any]
    collate: Callable[[Any, Any], Callable[[list[dict[str, Any]]], dict[str, Any]]]
    answer: Callable[[Any, Any, pd.DataFrame, Any], pd.DataFrame]
    split: Callable[[str], Any]
    present: Callable[[pd.DataFrame, pd.DataFrame, Any], list[dict[str, Any]]]
    shorten: Callable[[dict[str, Any], int], dict[str, Any]] = shorten_row
