"""Dropout of a model: one probability for all of it, and masks of sixteen random bits an element on a CPU.

The masks are of the same Bernoulli distribution as torch.nn.Dropout's (Srivastava et al. 2014, JMLR 15), p rounded to a
multiple of 2^-16, drawn from torch's own generator in 64-bit words instead of a floating-point number for each element:
a third of the time. Which elements fall differs from torch's choice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

LEVELS = 2**16


def set_dropout(model: Any, probability: float) -> None:
    """Set the probability of every dropout layer, and wherever the model or its configuration holds one as a number.

    Attention often does that. LayerDrop, which leaves out whole layers, stays as it is.
    """
    for name, value in vars(model.config).items():
        if _is_probability(name, value):
            setattr(model.config, name, probability)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability
        for name, value in vars(module).items():
            if _is_probability(name, value):
                setattr(module, name, probability)


def _is_probability(name: str, value: Any) -> bool:
    # True for attn_pdrop and hidden_dropout_prob, not for encoder_layerdrop; None, as in classifier_dropout, means
    # another of these.
    return isinstance(value, float | int) and not isinstance(value, bool) and ("dropout" in name or "pdrop" in name)


class _Masked(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, is_kept: Tensor, scale: float) -> Tensor:
        context.save_for_backward(is_kept)
        context.scale = scale
        return (values * is_kept).mul_(scale)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (is_kept,) = context.saved_tensors
        return (gradient * is_kept).mul_(context.scale), None, None


def drop(values: Tensor, p: float) -> Tensor:
    """Zero each element with probability `p`, in [0, 1), rounded to 2^-16; the others grow to keep the mean."""
    dropped = min(round(p * LEVELS), LEVELS - 1)
    if dropped == 0:
        return values
    words = torch.empty((values.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: values.numel()].view(values.shape)
    return _Masked.apply(values, bits >= dropped - LEVELS // 2, LEVELS / (LEVELS - dropped))  # type: ignore[no-any-return, no-untyped-call]


@contextmanager
def quick_dropout(model: Any) -> Iterator[None]:
    """Let a model's dropout layers use `drop` while it is trained on a CPU."""
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Dropout and layer.p < 1]
    for layer in layers:
        layer.__class__ = _QuickDropout
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = torch.nn.Dropout


class _QuickDropout(torch.nn.Dropout):
    def forward(self, values: Tensor) -> Tensor:
        return drop(values, self.p) if self.training else values
