"""Tokenization: token ids of training and validation rows, cut at the recipe's length and not padded."""

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
    )


@cached_task("tokenize")
def tokenize_rows(train: RowsRef, validation: RowsRef, pretrained: PretrainedRef, problem: Problem) -> TokensPairRef:
    store = current_store()
    tokenizer = load_tokenizer(unchanged_folder(pretrained))
    tokens = [tokenize(store, tokenizer, rows, problem) for rows in (train, validation)]
    return TokensPairRef.of(train=tokens[0], validation=tokens[1])
