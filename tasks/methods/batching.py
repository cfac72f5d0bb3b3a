"""Which rows make an optimizer step, and how a step's rows are cut into micro-batches with almost no padding.

Legend: a row's length is its number of tokens; a micro-batch is padded to its longest row, so it computes
rows x longest positions. The rows of a step are fixed by seed and epoch, whatever the size of the micro-batches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

# Rows are grouped by length within blocks of so many batches, fewer where there would not be four blocks.
BLOCK_BATCHES = 50


@dataclass(frozen=True)
class Rows:
    """Encoded rows of one step, not padded yet; the data loader passes what it does not know as it is."""

    rows: list[dict[str, Any]]


class EpochSampler:
    """Rows of similar length in one batch, in an order that the seed and the epoch decide.

    Rows are shuffled and taken in blocks; each block is sorted by length and cut into batches, whose order is shuffled
    again: sorted blocks alone would begin with the longest rows every time. Only the last batch may be smaller.
    """

    def __init__(self, batch_size: int, lengths: Sequence[int], seed: int) -> None:
        self._batch_size, self._lengths, self._seed, self._epoch = batch_size, lengths, seed, 0

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader as each epoch begins."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        order = torch.randperm(len(self), generator=generator).tolist()
        blocks = min(BLOCK_BATCHES, max(1, len(self) // (4 * self._batch_size)))
        for block in _chunks(order, blocks * self._batch_size):
            batches = list(_chunks(sorted(block, key=self._lengths.__getitem__), self._batch_size))
            # A smaller batch stays last, or the loader would cut all that follow elsewhere.
            whole = len(block) // self._batch_size
            for number in [*torch.randperm(whole, generator=generator).tolist(), *range(whole, len(batches))]:
                yield from batches[number]


def row_length(row: dict[str, Any]) -> int:
    """Tokens of an encoded row."""
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


def positions(rows: list[dict[str, Any]]) -> int:
    """Positions that a micro-batch computes, padding included."""
    return len(rows) * max(map(row_length, rows))


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


def _chunks(items: list[int], size: int) -> Iterator[list[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))
