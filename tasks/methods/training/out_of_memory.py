"""Fallbacks when out of memory: smaller micro-batches, then shorter rows, then gradient checkpointing.

Smaller micro-batches change only the order in which gradients are summed (and the dropout masks), so they come first;
shorter rows lose tokens of the longest texts. This module only chooses the limits; the Trainer applies them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

# Percentiles of the training rows' lengths; lower ones would lose too much text.
LENGTH_PERCENTILES = (99, 95, 90)
# Allocators of CPU and accelerator raise a plain RuntimeError with one of these texts.
SIGNS = ("not enough memory", "can't allocate memory", "out of memory", "alloc_failed")


@dataclass(frozen=True)
class Limits:
    """Limits within which a step is computed."""

    micro_batch_tokens: int | None = None
    """Positions of a micro-batch at most, padding included; None: the whole step at once."""
    max_length: int | None = None
    """Tokens of a row at most; None: as encoded."""
    is_checkpointing: bool = False
    """True to recompute activations in the backward pass (gradient checkpointing)."""

    def as_log(self) -> dict[str, float]:
        """Convert to an entry of the Trainer's history, so that a resumed run begins with these limits."""
        return {name: float(value or 0) for name, value in vars(self).items()}

    @classmethod
    def of_history(cls, history: Sequence[dict[str, float]]) -> "Limits | None":
        """Return the last limits in a history; None if memory always sufficed."""
        for entry in reversed(history):
            if "micro_batch_tokens" in entry:
                tokens, length = int(entry["micro_batch_tokens"]), int(entry["max_length"])
                return cls(tokens or None, length or None, bool(entry["is_checkpointing"]))
        return None


def lower(limits: Limits, failed: Sequence[int], lengths: Sequence[int], can_checkpoint: bool) -> Limits | None:
    """Lower the limits after a micro-batch with rows of the lengths `failed` did not fit; None if they are the lowest.

    lengths: of all training rows
    can_checkpoint: whether the model supports gradient checkpointing
    """
    if len(failed) > 1:
        return replace(limits, micro_batch_tokens=len(failed) * max(failed) // 2)
    for percentile in LENGTH_PERCENTILES:
        length = sorted(lengths)[math.ceil(percentile / 100 * len(lengths)) - 1]
        if length < failed[0]:
            return replace(limits, max_length=length)
    if can_checkpoint and not limits.is_checkpointing:
        return replace(limits, is_checkpointing=True)
    return None


def explain(limits: Limits, failed: Sequence[int]) -> str:
    found = f"Out of memory with {len(failed)} x {max(failed)} tokens:"
    if len(failed) > 1:
        return (
            f"{found} micro-batches have at most {limits.micro_batch_tokens} tokens; the effective batch is unchanged."
        )
    if limits.max_length is not None and limits.max_length < failed[0]:
        return f"{found} training rows are cut at {limits.max_length} tokens."
    return f"{found} activations are recomputed (gradient checkpointing)."


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def random_state() -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return torch's random states, of the CPU and of each accelerator."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def restore_random_state(state: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])


def room_for_moments(weights: Any) -> list[torch.Tensor]:
    """Allocate as much memory as AdamW's state of these weights takes."""
    return [torch.zeros_like(weight) for weight in weights if weight.requires_grad for _ in range(2)]
