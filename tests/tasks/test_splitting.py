"""The hash split. Alone: pytest tests/tasks/test_splitting.py."""

import pandas as pd
import pytest

from schemas.errors import DataError
from schemas.recipe.data import HashSplit
from tasks.methods.rows import content_id
from tasks.splitting import split_by_hash


def make_rows(count: int) -> pd.DataFrame:
    return pd.DataFrame({"id": [content_id(f"text {number}") for number in range(count)]})


def test_every_row_is_on_one_side_and_shares_are_as_asked():
    train, validation = split_by_hash(make_rows(5_000), HashSplit(validation_fraction=0.2))

    assert len(train) + len(validation) == 5_000
    assert not set(train["id"]) & set(validation["id"])
    assert 0.18 < len(validation) / 5_000 < 0.22


def test_row_never_changes_sides_when_data_grow():
    before = split_by_hash(make_rows(500), HashSplit(seed=3))
    after = split_by_hash(make_rows(5_000), HashSplit(seed=3))

    assert set(before[0]["id"]) <= set(after[0]["id"])
    assert set(before[1]["id"]) <= set(after[1]["id"])


def test_equal_texts_stay_together():
    rows = pd.concat([make_rows(300)] * 2, ignore_index=True)
    train, validation = split_by_hash(rows, HashSplit())

    assert not set(train["id"]) & set(validation["id"])


def test_another_seed_is_another_cut():
    one, other = (split_by_hash(make_rows(500), HashSplit(seed=seed))[1] for seed in (0, 1))

    assert set(one["id"]) != set(other["id"])


def test_side_without_rows_is_refused_with_what_to_change():
    with pytest.raises(DataError, match="leave 2 training and 0 validation rows"):
        split_by_hash(make_rows(2), HashSplit(validation_fraction=0.01))
