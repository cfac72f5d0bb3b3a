"""Encoded rows: length in tokens, shortening, padding, and division into micro-batches.

A micro-batch is padded to its longest row, so it has rows x longest positions.
"""

from collections.abc import Callable
from typing import Any

# (encoded rows) -> tensors by name, padded to the longest row.
Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]

# The label of a token without a target.
IGNORED = -100


def make_token_collator(tokenizer: Any, model: Any = None) -> Collate:
    """Pad a batch of rows with a target per token to its longest row; padding has no target."""
    from transformers import DataCollatorForTokenClassification

    return DataCollatorForTokenClassification(tokenizer)


def row_length(row: dict[str, Any]) -> int:
    return len(row["input_ids"])


def cut(
    rows: list[dict[str, Any]], micro_batch_tokens: int | None, length: Callable[[dict[str, Any]], int] = row_length
) -> list[list[dict[str, Any]]]:
    """Cut a step's rows into micro-batches of at most `micro_batch_tokens` positions each, the longest rows first.

    A longer row is a micro-batch by itself; None: one micro-batch.
    """
    if micro_batch_tokens is None:
        return [rows]
    micro_batches: list[list[dict[str, Any]]] = []
    room = 0
    for row in sorted(rows, key=length, reverse=True):
        if not room:
            micro_batches.append([])
            room = max(1, micro_batch_tokens // length(row))
        micro_batches[-1].append(row)
        room -= 1
    return micro_batches


def shorten_row(row: dict[str, Any], max_length: int) -> dict[str, Any]:
    """Cut a row's tokens and its values for each token; the last one, which ends the text, is kept.

    Floating-point targets belong to the whole row, even if there are as many as tokens.
    """
    length = row_length(row)
    if length <= max_length:
        return row
    return {
        name: [*value[: max_length - 1], value[-1]] if _is_by_token(value, length) else value
        for name, value in row.items()
    }


def _is_by_token(value: Any, length: int) -> bool:
    return hasattr(value, "__len__") and len(value) == length and not isinstance(value[0], float)
