"""Named entities: a tag for each word, predicted at its first token. Source: Devlin et al. 2019, section 5.3.

A text is a list of words, a label a list of IOB2 tags; predictions and truth are the tags joined with blanks. Long
texts are read in overlapping windows; each word is learned and predicted in the window where it is farthest from an
edge. Legend of shapes: T tokens of a window, C tags.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from schemas.errors import RecipeError
from schemas.recipe.problem import TagScheme, TokenClassification
from tasks.methods.bases.plain_text import without_special_tokens
from tasks.methods.forms.form import TAGS, WORDS
from tasks.methods.forms.tags import OUTSIDE, to_iob2
from tasks.methods.problems.encoded import IGNORED, make_token_collator
from tasks.methods.problems.heads import load_with_head
from tasks.methods.problems.problem import ProblemMethods
from tasks.methods.rows import Value, compose

WORD = re.compile(r"\w+(?:['’]\w+)?|[^\w\s]")  # noqa: RUF001 - the typographic apostrophe stands in texts


def recognise(architecture: str, names: tuple[str, ...], config: dict[str, Any]) -> TokenClassification | None:
    types = dict.fromkeys(name[2:] for name in names if name[1:2] == "-")
    is_one = architecture.endswith("ForTokenClassification")
    return TokenClassification(labels=tuple(types)) if is_one else None


def tag_names(problem: TokenClassification) -> tuple[str, ...]:
    return (OUTSIDE, *(f"{prefix}-{label}" for label in problem.labels for prefix in "BI"))


def name_types(tags: Iterable[str]) -> list[str]:
    return sorted({tag[2:] for tag in tags if tag != OUTSIDE})


def find_invalid(words: list[str], tags: list[str], problem: TokenClassification) -> str | None:
    """Return lengths that differ, or a tag that the problem's scheme does not have, or not there."""
    if len(words) != len(tags):
        return f"{len(words)} words, {len(tags)} tags"
    try:
        to_iob2(tags, problem)
    except ValueError as error:
        return str(error)
    return None


def convert(words: list[str], tags: list[str], problem: TokenClassification) -> tuple[list[str], list[str]]:
    return words, to_iob2(tags, problem)


def tags_clause(problem: TokenClassification) -> tuple[str, str]:
    expected = ", ".join(tag_names(problem)[:7]) + (", ..." if len(problem.labels) > 3 else "")
    if isinstance(problem.tags, tuple):
        expected = f"0 to {len(problem.tags) - 1}, for {', '.join(problem.tags[:7])}"
    scheme = "" if problem.tags is None or isinstance(problem.tags, tuple) else f", in the scheme {problem.tags}"
    return (
        f"rows have tags that are not the expected ones ({expected}{scheme}), one for each word",
        "Correct the tags, add new types to problem.labels, or name another scheme of tags in problem.tags "
        f"({', '.join(get_args(TagScheme))}, or a list of the tags of class numbers).",
    )


def encode_rows(tokenizer: Any, rows: pd.DataFrame, problem: TokenClassification) -> pd.DataFrame:
    """Cut rows into windows: `row` numbers the rows, `words` holds the word predicted at each token, -1 for none."""
    refuse_slow(tokenizer)
    words = [_as_read(tokenizer, text) for text in rows["text"]]
    encoded = tokenizer(
        words,
        is_split_into_words=True,
        truncation=True,
        max_length=problem.max_tokens,
        stride=problem.overlap_tokens,
        return_overflowing_tokens=True,
    )
    row_of = encoded.pop("overflow_to_sample_mapping")
    answered = _words_by_window([encoded.word_ids(window) for window in range(len(row_of))], row_of)
    table = pd.DataFrame({"input_ids": encoded["input_ids"], "is_cut": False, "row": row_of, "words": answered})
    return table.assign(labels=_targets(table, rows, problem)) if "label" in rows else table


def refuse_slow(tokenizer: Any, config: Any = None) -> None:
    """Raise RecipeError for a tokenizer that does not map tokens to words."""
    if not tokenizer.is_fast:
        raise RecipeError("model.base has a slow tokenizer, which does not map tokens to words. Choose another base.")


def _as_read(tokenizer: Any, words: Iterable[str]) -> list[str]:
    """Return words as they stand in a text: byte-level tokenizers have other tokens for a word after a blank."""
    splitter = tokenizer.backend_tokenizer.pre_tokenizer
    blank = " " if splitter is not None and b'"ByteLevel"' in splitter.__getstate__() else ""
    return [f"{blank}{word}" for word in without_special_tokens(tokenizer, words)]


def _words_by_window(word_ids: list[list[int | None]], row_of: list[int]) -> list[list[int]]:
    """Return for each token of each window the word predicted there: at its first token, in its best window."""
    best: dict[tuple[int, int], tuple[int, int, int]] = {}
    for window, (ids, row) in enumerate(zip(word_ids, row_of, strict=True)):
        for place, word in enumerate(ids):
            # A window may begin within a word, whose first token is in the window before.
            if word is not None and (place == 0 or ids[place - 1] != word):
                depth = min(place, len(ids) - 1 - place)
                best[row, word] = max(best.get((row, word), (-1, 0, 0)), (depth, -window, place))
    answered = [[-1] * len(ids) for ids in word_ids]
    for (_, word), (_, negative_window, place) in best.items():
        answered[-negative_window][place] = word
    return answered


def _targets(table: pd.DataFrame, rows: pd.DataFrame, problem: TokenClassification) -> list[list[int]]:
    numbers = {tag: number for number, tag in enumerate(tag_names(problem))}
    tags = list(rows["label"])
    return [
        [IGNORED if word < 0 else numbers[tags[row][word]] for word in words]
        for row, words in zip(table["row"], table["words"], strict=True)
    ]


def load_model(folder: Path, problem: TokenClassification, may_be_new: bool) -> Any:
    from transformers import AutoModelForTokenClassification

    return load_with_head(AutoModelForTokenClassification, folder, tag_names(problem), may_be_new)


def answer_rows(model: Any, tokenizer: Any, rows: pd.DataFrame, problem: TokenClassification) -> pd.DataFrame:
    """Predict the likeliest tag of each word; a word without tokens gets O.

    `probability` is the lowest of all words.
    """
    from tasks.methods.problems.inference import logits_of, softmax

    encoded = encode_rows(tokenizer, rows, problem)
    names = tag_names(problem)
    tags = [[OUTSIDE] * len(text) for text in rows["text"]]
    sureness = np.ones(len(rows))
    for row, words, logits_TC in zip(
        encoded["row"], encoded["words"], logits_of(model, encoded, make_token_collator(tokenizer)), strict=True
    ):
        probability_T = softmax(logits_TC).max(axis=1)
        for place, word in enumerate(words):
            if word >= 0:
                tags[row][word] = names[int(logits_TC[place].argmax())]
                sureness[row] = min(sureness[row], probability_T[place])
    answers = pd.DataFrame({"id": list(rows["id"]), "answer": [" ".join(row) for row in tags], "probability": sureness})
    return answers.assign(truth=[" ".join(row) for row in rows["label"]]) if "label" in rows else answers


def split_text(text: str) -> Value:
    return [compose(word) for word in WORD.findall(text)]


def present_answers(answers: pd.DataFrame, rows: pd.DataFrame, problem: TokenClassification) -> list[dict[str, Any]]:
    """Convert tags to entities as seqeval does: type, words, and the numbers of the first and last word."""
    from seqeval.metrics.sequence_labeling import get_entities

    return [
        {
            "entities": [
                {"type": kind, "text": " ".join(words[first : last + 1]), "first": first, "last": last}
                for kind, first, last in get_entities(tags.split())
            ]
        }
        for tags, words in zip(answers["answer"], map(list, rows["text"]), strict=True)
    ]


def describe(prediction: dict[str, Any]) -> str:
    return "; ".join(f"{entity['type']}: {entity['text']}" for entity in prediction["entities"]) or "no entity"


METHODS = ProblemMethods(
    model_class="AutoModelForTokenClassification",
    task="token-classification",
    recognise=recognise,
    names=name_types,
    text_form=WORDS,
    label_form=TAGS,
    invalid=find_invalid,
    invalid_clause=tags_clause,
    convert=convert,
    encode=encode_rows,
    load=load_model,
    collate=make_token_collator,
    answer=answer_rows,
    present=present_answers,
    describe=describe,
    normalise=split_text,
    try_tokenizer=refuse_slow,
)
