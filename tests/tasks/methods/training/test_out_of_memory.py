"""What is tried when memory does not suffice. Alone: pytest tests/tasks/methods/training/test_out_of_memory.py."""

import pytest
import torch

from tasks.methods.training.out_of_memory import (
    Limits,
    explain,
    is_out_of_memory,
    lower,
    random_state,
    restore_random_state,
    room_for_moments,
)

LENGTHS = [10] * 89 + [20] * 5 + [30] * 4 + [40, 60]


def test_ladder_goes_down_to_its_end():
    limits, lines = Limits(), []
    failing = [60, 60, 40, 30]
    while True:
        found = lower(limits, failing, LENGTHS, True)
        if found is None:
            break
        limits = found
        lines.append(explain(limits, failing))
        failing = failing[: len(failing) // 2] if len(failing) > 1 else [min(failing[0], limits.max_length or 60)]

    assert limits == Limits(60, 20, True)
    assert lines == [
        "Out of memory with 4 x 60 tokens: micro-batches have at most 120 tokens; the effective batch is unchanged.",
        "Out of memory with 2 x 60 tokens: micro-batches have at most 60 tokens; the effective batch is unchanged.",
        "Out of memory with 1 x 60 tokens: training rows are cut at 40 tokens.",
        "Out of memory with 1 x 40 tokens: training rows are cut at 30 tokens.",
        "Out of memory with 1 x 30 tokens: training rows are cut at 20 tokens.",
        "Out of memory with 1 x 20 tokens: activations are recomputed (gradient checkpointing).",
    ]


def test_model_that_cannot_checkpoint_has_one_rung_less():
    assert lower(Limits(max_length=10), [10], LENGTHS, False) is None
    assert lower(Limits(max_length=10), [10], LENGTHS, True) == Limits(max_length=10, is_checkpointing=True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_that_mean_too_little_memory(error: Exception, expected: bool):
    assert is_out_of_memory(error) is expected


def test_rung_is_told_as_what_it_lowers_also_where_activations_are_computed_again_already():
    assert "micro-batches have at most 8 tokens" in explain(Limits(8, None, True), [8, 8])
    assert "rows are cut at 7 tokens" in explain(Limits(8, 7, True), [9])
    assert "activations are recomputed" in explain(Limits(8, 9, True), [9])


def test_limits_come_back_from_a_history():
    limits = Limits(128, 30, True)

    assert Limits.of_history([Limits(512).as_log(), {"loss": 1.0}, limits.as_log(), {"loss": 0.9}]) == limits
    assert Limits.of_history([Limits().as_log()]) == Limits()
    assert Limits.of_history([{"loss": 1.0}]) is None


def test_random_numbers_come_again():
    state = random_state()
    one = torch.rand(3)
    restore_random_state(state)

    assert torch.equal(torch.rand(3), one)


def test_room_is_made_for_two_moments_of_each_trained_weight():
    weights = torch.nn.Linear(3, 4).requires_grad_(False)
    weights.bias.requires_grad_(True)

    assert [tuple(moment.shape) for moment in room_for_moments(weights.parameters())] == [(4,), (4,)]
