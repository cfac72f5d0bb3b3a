"""Batches and micro-batches. Alone: pytest tests/tasks/methods/training/test_batching.py."""

from itertools import pairwise
from random import Random

from tasks.methods.problems.encoded import cut, row_length, shorten_row

from tasks.methods.problems.table import PROBLEMS
from tasks.methods.training.batching import EpochSampler, positions


def make_lengths(count: int) -> list[int]:
    choose = Random(0)
    return [choose.randint(4, 60) for _ in range(count)]


def rows_of(lengths: list[int]) -> list[dict[str, object]]:
    return [{"input_ids": list(range(length)), "labels": number} for number, length in enumerate(lengths)]


def order_of(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_row_comes_once_an_epoch_and_only_the_last_batch_is_smaller():
    lengths = make_lengths(1003)
    order = order_of(EpochSampler(16, lengths, 0), 3)

    assert sorted(order) == list(range(1003))
    # 15 x 16 rows a block: the last block of 43 rows ends with the odd ones, its longest.
    assert lengths[order[-1]] == max(lengths[row] for row in order[-43:])


def test_batches_have_similar_lengths_and_come_in_no_order_of_length():
    lengths = make_lengths(3200)
    order = order_of(EpochSampler(32, lengths, 0), 0)
    batches = [[lengths[row] for row in order[start : start + 32]] for start in range(0, 3200, 32)]
    computed = sum(32 * max(batch) for batch in batches)

    assert computed / sum(lengths) < 1.05
    falls = sum(sum(one) > sum(other) for one, other in pairwise(batches))
    assert 35 < falls < 65


def test_micro_batches_hold_every_row_within_the_budget_and_with_less_padding():
    rows = rows_of(make_lengths(64))
    micro_batches = cut(rows, 200)

    assert sorted(row["labels"] for part in micro_batches for row in part) == list(range(64))
    assert max(map(positions, micro_batches)) <= 200
    assert sum(map(positions, micro_batches)) < 0.7 * positions(rows)
    assert cut(rows, None) == [rows]


def test_row_longer_than_the_budget_is_alone():
    assert [[row_length(row) for row in part] for part in cut(rows_of([3, 90, 5, 40]), 20)] == [[90], [40], [5, 3]]


def test_shorter_row_keeps_its_last_token_and_what_goes_with_each_token():
    row = {"input_ids": [2, 11, 12, 13, 3], "labels": [-100, 1, 2, 3, -100], "other": 7}

    assert shorten_row(row, 3) == {"input_ids": [2, 11, 3], "labels": [-100, 1, -100], "other": 7}
    assert shorten_row(row, 5) is row


def test_answer_at_the_end_of_a_row_stays_and_so_does_one_beside_it():
    row = {"input_ids": [5, 6, 7, 8], "labels": [-100, -100, 8, 9]}

    assert PROBLEMS["causal-lm"].shorten(row, 2) == {"input_ids": [7, 8], "labels": [8, 9]}
    assert PROBLEMS["sequence-to-sequence"].shorten(row, 3) == {"input_ids": [5, 6, 8], "labels": row["labels"]}


def test_targets_of_the_whole_row_are_not_cut_with_its_tokens():
    row = {"input_ids": [2, 11, 12, 3], "labels": [0.0, 1.0, 0.0, 1.0]}

    assert shorten_row(row, 3) == {"input_ids": [2, 11, 3], "labels": [0.0, 1.0, 0.0, 1.0]}
