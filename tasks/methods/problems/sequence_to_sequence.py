"""Text to text by an encoder and a decoder, such as translation. Sources: Sutskever et al. 2014, Vaswani et al. 2017.

In training the decoder sees the true answer, shifted by the model (arXiv:1409.3215); it predicts by greedy or beam
search. Legend of shapes: N rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from schemas.recipe.problem import SequenceToSequence
from tasks.methods.bases.plain_text import without_special_tokens
from tasks.methods.forms.form import ONE_TEXT
from tasks.methods.problems.encoded import Collate, shorten_row
from tasks.methods.problems.free_text import end_target, eos_of, free_text_methods, load_language_model, write_answers
from tasks.methods.problems.text_classification import encode_texts


def recognise(architecture: str, names: tuple[str, ...], config: dict[str, Any]) -> SequenceToSequence | None:
    is_one = architecture.endswith("ForConditionalGeneration") or (config.get("is_encoder_decoder") and not names)
    return SequenceToSequence() if is_one else None


def find_invalid(text: str, answer: str, problem: SequenceToSequence) -> None:
    """Every text and every answer is valid."""


def encode_rows(tokenizer: Any, rows: pd.DataFrame, problem: SequenceToSequence) -> pd.DataFrame:
    """Encode texts and answers as token ids, cut but not padded; an answer ends with eos unless it was cut."""
    table = encode_texts(tokenizer, list(rows["text"]), problem.max_tokens)
    end = eos_of(tokenizer)
    answers = tokenizer(text_target=without_special_tokens(tokenizer, rows["label"]))["input_ids"]
    targets, is_cut = zip(*(end_target(ids, end, problem.answer_tokens) for ids in answers), strict=True)
    return table.assign(labels=list(targets), is_cut=table["is_cut"] | np.array(is_cut))


def shorten_source(row: dict[str, Any], length: int) -> dict[str, Any]:
    """Shorten the text but not its answer."""
    return row | shorten_row({"input_ids": row["input_ids"]}, length)


def refuse_endless(tokenizer: Any, config: Any) -> None:
    """Raise RecipeError for a tokenizer without an end token."""
    eos_of(tokenizer)


def load_model(folder: Path, problem: SequenceToSequence, may_be_new: bool) -> Any:
    from transformers import AutoModelForSeq2SeqLM

    return load_language_model(AutoModelForSeq2SeqLM, folder, max(problem.max_tokens, problem.answer_tokens))


def make_collator(tokenizer: Any, model: Any) -> Collate:
    """Pad texts and answers to the longest; the batch also holds the decoder's inputs."""
    from transformers import DataCollatorForSeq2Seq

    return DataCollatorForSeq2Seq(tokenizer, model)


def answer_rows(model: Any, tokenizer: Any, rows: pd.DataFrame, problem: SequenceToSequence) -> pd.DataFrame:
    sources = list(encode_texts(tokenizer, list(rows["text"]), problem.max_tokens)["input_ids"])
    ends, collate = [eos_of(tokenizer)], make_collator(tokenizer, model)
    return write_answers(model, tokenizer, rows, sources, ends, problem, join, collate)


def join(source: list[int], target: list[int]) -> dict[str, list[int]]:
    return {"input_ids": source, "labels": target}


METHODS = free_text_methods(
    model_class="AutoModelForSeq2SeqLM",
    recognise=recognise,
    label_form=ONE_TEXT,
    invalid=find_invalid,
    encode=encode_rows,
    load=load_model,
    collate=make_collator,
    answer=answer_rows,
    shorten=shorten_source,
    try_tokenizer=refuse_endless,
)
