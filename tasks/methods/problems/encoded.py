"""Encoded rows: their length in tokens, cut shorter, and cut into micro-batches.

A micro-batch is padded to its longest row, so it computes rows x longest positions.
"""

from collections.abc import Callable
from typing import Any

# (encoded rows) -> tensors by name, padded to the longest row.
Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]

# The label of a token that is not learned.
IGNORED = -100


def row_length(row: dict[str, Any]) -> int:
    return len(row["input_ids"])


def cut(
    rows: list[dict[str, Any]], micro_batch_tokens: int | None, length: Callable[[dict[str, Any]], int] = row_length
) -> list[list[dict[str, Any]]]:
    """Cut a step's rows into micro-batches of at most `micro_batch_tokens` positions each, the longest rows first.

    A row longer than that is a micro-batch of its own; None: one micro-batch.
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
    """Cut a row's tokens, and whatever it has for each token; the last one stays, for it closes the text.

    Targets that are no integers are those of the whole row, even where there are as many as tokens.
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
