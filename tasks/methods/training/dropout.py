"""Dropout: one probability for the whole model. Source: Srivastava et al. 2014 (JMLR 15)."""

from typing import Any

import torch


def set_dropout(model: Any, probability: float) -> None:
    """Set the probability of every dropout layer, and each probability stored as a number, as attention often does.

    LayerDrop, which leaves out whole layers, is unchanged.
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
