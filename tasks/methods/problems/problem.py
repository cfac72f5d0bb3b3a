"""The functions that make a kind of problem; a row of PROBLEMS is one of these."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# Of a model that was trained in part: the file of the weights that were trained.
TRAINED = "trained.safetensors"


@dataclass(frozen=True)
class ProblemMethods:
    """Legend of shapes: N rows, C classes.

    encode: (tokenizer, rows, problem) -> a table of N lists of token ids (`input_ids`), targets (`labels`), `is_cut`
    load: (folder, problem, may_be_new) -> the model with the problem's head, in float32; RecipeError when the head is
        for other labels and may not be new; in a folder with TRAINED the other weights' head may be any
    collate: (tokenizer) -> a function that pads a list of encoded rows to the longest and makes tensors
    answer: (logits_NC, rows, problem) -> a table of id, truth, answer (class numbers) and p0..pC-1
    """

    encode: Callable[[Any, pd.DataFrame, Any], pd.DataFrame]
    load: Callable[[Path, Any, bool], Any]
    collate: Callable[[Any], Callable[[list[dict[str, Any]]], dict[str, Any]]]
    answer: Callable[[np.ndarray, pd.DataFrame, Any], pd.DataFrame]
