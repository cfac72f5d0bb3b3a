"""Batches of rows of similar length, one for each optimizer step, with little padding.

The rows of a step are fixed by seed and epoch, whatever the size of the micro-batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tasks.methods.problems.encoded import row_length

# Number of batches in a block, within which rows are sorted by length; fewer if there would not be four blocks.
BLOCK_BATCHES = 50


@dataclass(frozen=True)
class Rows:
    """Encoded rows of one step, not yet padded; the data loader passes unknown types unchanged."""

    rows: list[dict[str, Any]]


class EpochSampler:
    """Sampler of batches of similar lengths, in an order determined by seed and epoch.

    Rows are shuffled and taken in blocks; each block is sorted by length and cut into batches, whose order is shuffled
    again: otherwise every block would begin with its shortest rows. Only the last batch may be smaller.
    """

    def __init__(self, batch_size: int, lengths: Sequence[int], seed: int) -> None:
        self._batch_size, self._lengths, self._seed, self._epoch = batch_size, lengths, seed, 0

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; called by the data loader."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        order = torch.randperm(len(self), generator=generator).tolist()
        blocks = min(BLOCK_BATCHES, max(1, len(self) // (4 * self._batch_size)))
        for block in _chunks(order, blocks * self._batch_size):
            batches = list(_chunks(sorted(block, key=self._lengths.__getitem__), self._batch_size))
            # A smaller batch stays last, or the loader would shift the bounds of all that follow.
            whole = len(block) // self._batch_size
            for number in [*torch.randperm(whole, generator=generator).tolist(), *range(whole, len(batches))]:
                yield from batches[number]


def positions(rows: list[dict[str, Any]]) -> int:
    """Count the positions of a micro-batch, padding included."""
    return len(rows) * max(map(row_length, rows))


def _chunks(items: list[int], size: int) -> Iterator[list[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))
