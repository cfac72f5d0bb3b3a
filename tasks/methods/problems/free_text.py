"""What problems have in common whose answer is a text of the model's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from schemas.errors import RecipeError
from tasks.methods.problems.encoded import Collate
from tasks.methods.problems.problem import Mistakes, ProblemMethods


def name_nothing(label: Any) -> list[str]:
    """A label is a text; it holds no names."""
    return []


def present_texts(answers: pd.DataFrame, rows: pd.DataFrame, problem: Any) -> list[dict[str, Any]]:
    return [{"answer": text} for text in answers["answer"]]


def describe_text(prediction: dict[str, Any]) -> str:
    return str(prediction["answer"])


def form_clause(problem: Any) -> tuple[str, str]:
    return "rows have a text or an answer of another form", "Correct the rows, or name other columns in data."


def rank_unsure(answers: pd.DataFrame) -> np.ndarray:
    """Every prediction, since texts are hardly ever the true ones word by word."""
    return -np.asarray(answers["probability"])


UNSURE_ANSWERS = Mistakes(
    rank=rank_unsure,
    words="answers, the least sure first",
    words_with_champion="answers, the least sure first",
)


def end_target(ids: list[int], end: int, answer_tokens: int) -> tuple[list[int], bool]:
    """Close an answer by the token that ends it, unless it is too long; give what is to be learned and if it was cut.

    The end of an answer that was cut is no end.
    """
    closed = ids if ids and ids[-1] == end else [*ids, end]
    return closed[:answer_tokens], len(closed) > answer_tokens


def eos_of(tokenizer: Any) -> int:
    """The token that ends a text. Raises RecipeError when there is none."""
    if tokenizer.eos_token_id is None:
        raise RecipeError("model.base: its tokenizer has no eos_token, so no answer would ever end. Set one.")
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
    """Answer by greedy or beam search; `probability` is the mean one, geometrically, of the tokens of the answer.

    `is_finished` where the model ended its text itself, by one of `ends`, within the tokens it has. `join` makes an
    encoded row of a source and its target, which ends by the first of `ends`.
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
    """Load a model that writes texts, in float32. Raises RecipeError when it is of another kind, or too short."""
    import torch
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    limit = getattr(config, "max_position_embeddings", None)
    if limit and positions > limit:
        raise RecipeError(f"model.base has {limit} positions, but problem asks for {positions} tokens. Lower them.")
    if type(config) not in model_class._model_mapping:
        raise RecipeError(f"model.base is a {config.model_type}, which problem.kind is not for. Choose another base.")
    # Without the type weights stay in the checkpoint's own, bfloat16 for many.
    return model_class.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False)


def free_text_methods(**own: Any) -> ProblemMethods:
    """A kind's own methods, and those that all kinds of free text share."""
    return ProblemMethods(
        task="text-generation",
        names=name_nothing,
        present=present_texts,
        describe=describe_text,
        mistakes=UNSURE_ANSWERS,
        invalid_clause=form_clause,
        **own,
    )
