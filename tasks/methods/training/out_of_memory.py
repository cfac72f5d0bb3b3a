"""What to do when memory does not suffice: smaller micro-batches, then shorter rows, then gradient checkpointing.

Smaller micro-batches change nothing but the order in which gradients are summed (and which dropout mask a row gets), so
they come first; a shorter length loses tokens of the longest rows. This module only decides; the Trainer does it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

# Of the training rows' lengths; below, too much text would be lost.
LENGTH_PERCENTILES = (99, 95, 90)
# What the allocators of CPU and accelerator say in a RuntimeError of no class of its own.
SIGNS = ("not enough memory", "can't allocate memory", "out of memory", "alloc_failed")


@dataclass(frozen=True)
class Limits:
    """How a step is computed: what each rung of the ladder lowers."""

    micro_batch_tokens: int | None = None
    """Positions a micro-batch may have, padding included; None: the whole step at once."""
    max_length: int | None = None
    """Tokens a row may have; None: as encoded."""
    is_checkpointing: bool = False
    """Whether activations are computed again on the way back instead of being kept."""

    def as_log(self) -> dict[str, float]:
        """What the Trainer's history keeps, so that a run that goes on does not have to fail again."""
        return {name: float(value or 0) for name, value in vars(self).items()}

    @classmethod
    def of_history(cls, history: Sequence[dict[str, float]]) -> "Limits | None":
        """The last limits in a history; None when memory always sufficed."""
        for entry in reversed(history):
            if "micro_batch_tokens" in entry:
                tokens, length = int(entry["micro_batch_tokens"]), int(entry["max_length"])
                return cls(tokens or None, length or None, bool(entry["is_checkpointing"]))
        return None


def lower(limits: Limits, failed: Sequence[int], lengths: Sequence[int], can_checkpoint: bool) -> Limits | None:
    """Give the next rung after a micro-batch whose rows have the lengths `failed`; None when there is none.

    `lengths` are those of all training rows, `can_checkpoint` whether the model can recompute its activations.
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
        return f"{found} micro-batches have at most {limits.micro_batch_tokens} tokens; the effective batch stays."
    if limits.max_length is not None and limits.max_length < failed[0]:
        return f"{found} training rows are cut at {limits.max_length} tokens."
    return f"{found} activations are computed again instead of kept (gradient checkpointing)."


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def random_state() -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Torch's random states, of the CPU and of each accelerator."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def restore_random_state(state: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])


def room_for_moments(weights: Any) -> list[torch.Tensor]:
    """As much memory as AdamW's state of these weights will take."""
    return [torch.zeros_like(weight) for weight in weights if weight.requires_grad for _ in range(2)]
