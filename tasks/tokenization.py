"""Tokenization: token ids of training and validation rows, cut at the recipe's length and not padded."""

from collections.abc import Iterable
from typing import Any

from schemas.recipe.problem import Problem
from schemas.records.references import PretrainedRef, RowsRef, TokensPairRef, TokensRef
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.services.cache.records import cached_task
from tasks.services.inputs.pretrained import unchanged_folder
from tasks.services.local.object_store import current_store
from tasks.services.storage.store import Store
from tasks.services.storage.tables import keep_table, read_table


def tokenize(store: Store, tokenizer: Any, rows: RowsRef, problem: Problem) -> TokensRef:
    from tasks.methods.problems.table import PROBLEMS

    encoded = PROBLEMS[problem.kind].encode(tokenizer, read_table(store, rows), problem)
    return TokensRef(
        **dict(keep_table(store, encoded[["input_ids", "labels"]])),
        num_rows=len(encoded),
        num_tokens=int(encoded["input_ids"].str.len().sum()),
        num_cut=int(encoded["is_cut"].sum()),
        num_unknown=count_unknown(tokenizer, encoded["input_ids"]),
    )


def count_unknown(tokenizer: Any, rows: Iterable[Iterable[int]]) -> int:
    """Count the tokens that stand for an unknown word; GPT-2's unknown token, the end of a text, is none."""
    unknown, marks = tokenizer.unk_token_id, {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}
    return 0 if unknown is None or unknown in marks else sum(list(ids).count(unknown) for ids in rows)


@cached_task("tokenize")
def tokenize_rows(train: RowsRef, validation: RowsRef, pretrained: PretrainedRef, problem: Problem) -> TokensPairRef:
    store = current_store()
    tokenizer = load_tokenizer(unchanged_folder(pretrained))
    tokens = [tokenize(store, tokenizer, rows, problem) for rows in (train, validation)]
    return TokensPairRef.of(train=tokens[0], validation=tokens[1])
