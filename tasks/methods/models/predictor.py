"""A predictor: a model of any kind, loaded once, as a function of rows."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from schemas.recipe.problem import Problem
from tasks.methods.models.artifact import load_model
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.methods.problems.table import PROBLEMS

Answering = Callable[[pd.DataFrame], pd.DataFrame]


def open_model(folder: Path, problem: Problem) -> Answering:
    methods = PROBLEMS[problem.kind]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(folder, problem, methods).to(device).eval()
    tokenizer = load_tokenizer(folder)
    return lambda rows: methods.answer(model, tokenizer, rows, problem)
