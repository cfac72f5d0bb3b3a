"""Text to text by an encoder and a decoder, such as translation. Sources: Sutskever et al. 2014, Vaswani et al. 2017.

In training the decoder sees the true answer, shifted by the model's own rule (arXiv:1409.3215); it answers by greedy or
beam search. Legend of shapes: N rows.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from schemas.recipe.problem import SequenceToSequence
from tasks.methods.problems.encoded import shorten_row
from tasks.methods.problems.free_text import (
    end_target,
    eos_of,
    load_language_model,
    name_nothing,
    present_texts,
    tabulate_answers,
)
from tasks.methods.problems.problem import ProblemMethods
from tasks.methods.problems.text_classification import encode_texts, split_text


def find_stray(text: Any, answer: Any, problem: SequenceToSequence) -> str | None:
    """Say what is no pair of texts."""
    for name, value in (("a text", text), ("an answer", answer)):
        if not isinstance(value, str):
            return f"{name} that is a list of {len(value)} (expected one text)"
    return None


def encode_rows(tokenizer: Any, rows: pd.DataFrame, problem: SequenceToSequence) -> pd.DataFrame:
    """Turn texts and answers into token ids, cut but not padded; an answer ends by eos unless it was cut."""
    table = encode_texts(tokenizer, list(rows["text"]), problem.max_tokens)
    end = eos_of(tokenizer)
    answers = tokenizer(text_target=list(rows["label"]))["input_ids"]
    targets, is_cut = zip(*(end_target(ids, end, problem.answer_tokens) for ids in answers), strict=True)
    return table.assign(labels=list(targets), is_cut=table["is_cut"] | np.array(is_cut))


def shorten_source(row: dict[str, Any], length: int) -> dict[str, Any]:
    """Shorten the text; its answer stays whole, whatever its length."""
    return row | shorten_row({"input_ids": row["input_ids"]}, length)


def load_model(folder: Path, problem: SequenceToSequence, may_be_new: bool) -> Any:
    """Load an encoder and a decoder with its language head."""
    from transformers import AutoModelForSeq2SeqLM

    return load_language_model(AutoModelForSeq2SeqLM, folder, max(problem.max_tokens, problem.answer_tokens))


def make_collator(tokenizer: Any, model: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pad texts and answers to the longest; what the decoder sees stands beside the labels, which the trainer takes."""
    from transformers import DataCollatorForSeq2Seq

    return DataCollatorForSeq2Seq(tokenizer, model)


def answer_rows(model: Any, tokenizer: Any, rows: pd.DataFrame, problem: SequenceToSequence) -> pd.DataFrame:
    """Answer by greedy or beam search; `probability` is the mean one, geometrically, of the tokens of the answer."""
    from tasks.methods.problems.generation import generate, log_likelihoods

    end = eos_of(tokenizer)
    sources = list(encode_texts(tokenizer, list(rows["text"]), problem.max_tokens)["input_ids"])
    written = generate(model, sources, tokenizer.pad_token_id, [end], problem.answer_tokens, problem.num_beams)
    targets = [end_target(ids, end, problem.answer_tokens)[0] for ids in written.ids]
    own = [{"input_ids": source, "labels": target} for source, target in zip(sources, targets, strict=True)]
    likelihoods_N = log_likelihoods(model, own, make_collator(tokenizer, model))
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in written.ids]
    return tabulate_answers(rows, written.finished, texts, np.exp(likelihoods_N / [len(target) for target in targets]))


METHODS = ProblemMethods(
    names=name_nothing,
    stray=find_stray,
    encode=encode_rows,
    load=load_model,
    collate=make_collator,
    answer=answer_rows,
    split=split_text,
    shorten=shorten_source,
    present=present_texts,
)
