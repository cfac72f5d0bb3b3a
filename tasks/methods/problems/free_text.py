"""Common parts of the problems whose predictions are generated texts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from schemas.errors import RecipeError
from tasks.methods.bases.completeness import load_complete
from tasks.methods.bases.configuration import read_config
from tasks.methods.problems.encoded import Collate
from tasks.methods.problems.problem import Mistakes, ProblemMethods
from tasks.methods.rows import alike


def name_nothing(label: Any) -> list[str]:
    """Return no names: a label is a free text."""
    return []


def present_texts(answers: pd.DataFrame, rows: pd.DataFrame, problem: Any) -> list[dict[str, Any]]:
    return [{"answer": text} for text in answers["answer"]]


def describe_text(prediction: dict[str, Any]) -> str:
    return str(prediction["answer"])


def form_clause(problem: Any) -> tuple[str, str]:
    return (
        "rows have turns of another order, or an answer of several turns",
        "Correct the rows; a system's text can stand at the beginning of the user's turn.",
    )


def rank_unsure(answers: pd.DataFrame) -> np.ndarray:
    """Rank every prediction, since generated texts hardly ever equal the true ones."""
    return -np.asarray(answers["probability"])


UNSURE_ANSWERS = Mistakes(
    rank=rank_unsure,
    words="answers, the least sure first",
    words_with_champion="answers, the least sure first",
)


def end_target(ids: list[int], end: int, answer_tokens: int) -> tuple[list[int], bool]:
    """Append the end token to an answer and cut it at `answer_tokens`; return the target and whether it was cut.

    A cut answer has no end token.
    """
    closed = ids if ids and ids[-1] == end else [*ids, end]
    return closed[:answer_tokens], len(closed) > answer_tokens


def eos_of(tokenizer: Any) -> int:
    """Return the token that ends a text. Raises RecipeError when there is none."""
    if tokenizer.eos_token_id is None:
        raise RecipeError("model.base: its tokenizer has no eos_token, so no generated text would end. Set one.")
    return int(tokenizer.eos_token_id)


def write_answers(
    model: Any,
    tokenizer: Any,
    rows: pd.DataFrame,
    sources: list[list[int]],
    ends: list[int],
    problem: Any,
    join: Callable[[list[int], list[int]], dict[str, list[int]]],
    collate: Collate,
) -> pd.DataFrame:
    """Predict by greedy or beam search; `probability` is the geometric mean over the tokens of the prediction.

    is_finished: whether the model ended its text by one of `ends` within `answer_tokens`
    join: (source, target) -> an encoded row; a target ends with the first of `ends`
    """
    from tasks.methods.problems.generation import generate, log_likelihoods

    num_beams = getattr(problem, "num_beams", 1)
    written = generate(model, sources, tokenizer.pad_token_id, ends, problem.answer_tokens, num_beams)
    targets = [end_target(ids, ends[0], problem.answer_tokens)[0] for ids in written.ids]
    own = [join(source, target) for source, target in zip(sources, targets, strict=True)]
    answers = pd.DataFrame({"id": list(rows["id"])})
    answers["answer"] = [tokenizer.decode(ids, skip_special_tokens=True) for ids in written.ids]
    answers["probability"] = np.exp(log_likelihoods(model, own, collate) / [len(target) for target in targets])
    answers["is_finished"] = [int(is_finished) for is_finished in written.finished]
    return answers.assign(truth=list(rows["label"])) if "label" in rows else answers


def load_language_model(model_class: Any, folder: Path, positions: int) -> Any:
    """Load a generative model in float32. Raises RecipeError for another kind of model, or too few positions."""
    config = read_config(folder)
    limit = getattr(config, "max_position_embeddings", None)
    if limit and positions > limit:
        raise RecipeError(
            f"model.base has {limit} positions, but problem needs {positions}. Lower its numbers of tokens."
        )
    if type(config) not in model_class._model_mapping:
        raise RecipeError(
            f"model.base is a {config.model_type}, which problem.kind does not support. Choose another base."
        )
    return load_complete(model_class, folder, config, may_head_be_new=False)[0]


def free_text_methods(**own: Any) -> ProblemMethods:
    """Combine the methods of a kind with those common to all kinds of free text."""
    return ProblemMethods(
        task="text-generation",
        names=name_nothing,
        present=present_texts,
        describe=describe_text,
        mistakes=UNSURE_ANSWERS,
        invalid_clause=form_clause,
        same_label=lambda label: alike(label) or None,
        **own,
    )
