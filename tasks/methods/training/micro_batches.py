"""Loss and gradients of a step's rows, computed in micro-batches that fit into memory.

However a step is cut, each item's loss is divided by the weight of the whole step: the gradients are those of one large
batch, up to the order of summation.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from schemas.errors import TrainingError
from tasks.methods.losses.loss import Loss, as_items
from tasks.methods.problems.encoded import cut, row_length
from tasks.methods.training.batching import positions
from tasks.methods.training.out_of_memory import (
    Limits,
    explain,
    is_out_of_memory,
    lower,
    random_state,
    restore_random_state,
    room_for_moments,
)

log = logging.getLogger(__name__)
EncodedRows = list[dict[str, Any]]


def mean_of(total: Tensor, weight: Tensor) -> Tensor:
    """Compute the mean over a step's items; 0 if no item counts, which gives no gradient."""
    return total / torch.where(weight > 0, weight, 1)


class Stepper:
    """Computes a step; after running out of memory it repeats the step with lower limits."""

    def __init__(
        self,
        loss: Loss,
        collate: Callable[[EncodedRows], Any],
        shorten: Callable[[dict[str, Any], int], dict[str, Any]],
        lengths: list[int],
    ) -> None:
        self._loss, self._collate, self._shorten, self._lengths = loss, collate, shorten, lengths
        self.limits = Limits()
        self._tokens = self._positions = 0

    def run(
        self, model: Any, rows: EncodedRows, prepare: Callable[[Any], Any], backward: Callable[[Tensor], None] | None
    ) -> tuple[Tensor, Tensor]:
        """Return the sums of the rows' losses and weights; with `backward`, compute the gradients of their quotient.

        `prepare` moves a batch to the model's device. Raises TrainingError when the limits cannot be lowered further.
        """
        while True:
            state = random_state()
            micro_batches = self._cut(rows)
            sums, failed = self._try(model, micro_batches, prepare, backward)
            if sums is not None:
                if backward:
                    self._tokens += sum(row_length(row) for batch in micro_batches for row in batch)
                    self._positions += sum(map(positions, micro_batches))
                return sums
            model.zero_grad()
            torch.cuda.empty_cache()
            restore_random_state(state)
            self._descend(model, failed)

    def probe(
        self,
        model: Any,
        rows: EncodedRows,
        prepare: Callable[[Any], Any],
        backward: Callable[[Tensor], None],
        has_moments: bool,
    ) -> None:
        """Try the largest micro-batch of `rows` with memory reserved for AdamW's moments; the state is restored.

        has_moments: whether the moments are allocated already
        """
        state, counts = random_state(), (self._tokens, self._positions)
        reserve = [] if has_moments else room_for_moments(model.parameters())
        self.run(model, max(self._cut(rows), key=positions), prepare, backward)
        del reserve
        model.zero_grad()
        restore_random_state(state)
        self._tokens, self._positions = counts

    def take_counts(self) -> dict[str, float]:
        """Return the tokens since the last call, and the share of padding in the computed positions."""
        counts = {"tokens": float(self._tokens), "padding_share": 1 - self._tokens / max(1, self._positions)}
        self._tokens = self._positions = 0
        return counts

    def apply(self, model: Any, limits: Limits) -> None:
        if limits.is_checkpointing and not self.limits.is_checkpointing:
            # Reentrant checkpointing needs inputs with gradients, which frozen embeddings do not give.
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        self.limits = limits

    def _cut(self, rows: EncodedRows) -> list[EncodedRows]:
        length = self.limits.max_length
        return cut([self._shorten(row, length) for row in rows] if length else rows, self.limits.micro_batch_tokens)

    def _try(
        self,
        model: Any,
        micro_batches: list[EncodedRows],
        prepare: Callable[[Any], Any],
        backward: Callable[[Tensor], None] | None,
    ) -> tuple[tuple[Tensor, Tensor] | None, list[int]]:
        """Return the sums, or the lengths of the rows that did not fit into memory."""
        failing = micro_batches[0]
        try:
            batches = [prepare(self._collate(micro_batch)) for micro_batch in micro_batches]
            labels = [batch.pop("labels") for batch in batches]
            weight = torch.stack([self._loss.weight(as_items(one, one)) for one in labels]).sum()
            total = torch.zeros((), device=weight.device)
            for micro_batch, batch, one in zip(micro_batches, batches, labels, strict=True):
                failing = micro_batch
                logits = model(**batch).logits
                part = self._loss.total(as_items(logits, one), as_items(one, one))
                if backward:
                    backward(mean_of(part, weight))
                total += part.detach()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None, [row_length(row) for row in failing]
        return (total, weight), []

    def _descend(self, model: Any, failed: list[int]) -> None:
        limits = lower(self.limits, failed, self._lengths, model.supports_gradient_checkpointing)
        if limits is None:
            raise TrainingError(
                f"Out of memory: one row of {failed[0]} tokens does not fit even with the lowest limits (smaller "
                "micro-batches, rows cut at a percentile of the lengths, gradient checkpointing). Lower "
                "problem.max_tokens, choose a smaller model.base, or train where there is more memory."
            )
        log.warning(explain(limits, failed))
        self.apply(model, limits)
