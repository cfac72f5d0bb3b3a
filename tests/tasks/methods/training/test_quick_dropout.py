"""Dropout with sixteen bits an element. Alone: pytest tests/tasks/methods/training/test_quick_dropout.py."""

import math

import pytest
import torch

from tasks.methods.training.dropout import drop, quick_dropout

COUNT = 1_000_003


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_of_zeros_is_p_and_the_mean_stays(p: float):
    torch.manual_seed(0)
    values = drop(torch.ones(COUNT), p)
    deviation = math.sqrt(p * (1 - p) / COUNT)

    assert (values == 0).float().mean().item() == pytest.approx(p, abs=4 * deviation + 2**-17)
    assert values.double().mean().item() == pytest.approx(1, abs=4 * deviation / (1 - p))
    assert values.unique().numel() == 2


def test_neighbours_fall_independently():
    """The four elements that share a 64-bit word, and those of neighbouring words."""
    torch.manual_seed(0)
    is_dropped = (drop(torch.ones(COUNT), 0.3) == 0).double() - 0.3

    for distance in range(1, 9):
        correlation = (is_dropped[:-distance] * is_dropped[distance:]).mean().item() / 0.21
        assert abs(correlation) < 4 / math.sqrt(COUNT)


def test_gradient_goes_where_the_value_went():
    values = torch.rand(3, 5, 7, requires_grad=True)
    dropped = drop(values, 0.4)
    dropped.sum().backward()

    assert torch.allclose(values.grad * values, dropped)
    assert 0 < (values.grad == 0).sum() < values.numel()


def test_mask_comes_again_with_the_random_state():
    state = torch.get_rng_state()
    one = drop(torch.ones(50), 0.5)
    other = drop(torch.ones(50), 0.5)
    torch.set_rng_state(state)

    assert torch.equal(drop(torch.ones(50), 0.5), one)
    assert not torch.equal(one, other)


def test_layers_use_it_in_training_only_and_are_torchs_own_again_afterwards(monkeypatch):
    calls = []
    monkeypatch.setattr("tasks.methods.training.dropout.drop", lambda values, p: calls.append(p) or values)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.2))
    with quick_dropout(model):
        model(torch.ones(1, 2))
        model.eval()(torch.ones(1, 2))

    assert calls == [0.2]
    assert type(model[1]) is torch.nn.Dropout
    assert drop(torch.ones(4), 0.0).tolist() == [1, 1, 1, 1]
