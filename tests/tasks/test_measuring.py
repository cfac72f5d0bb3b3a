"""What two models take, side by side. Alone: pytest tests/tasks/test_measuring.py."""

from pathlib import Path

import pandas as pd
import pytest

from schemas.recipe.problem import TextClassification
from tasks import measuring
from tasks.measuring import BATCH, BLOCKS, MEMORY_REPEATS, SINGLES, measure_side_by_side
from tests.conftest import LABELS, make_rows

PROBLEM = TextClassification(labels=LABELS, max_tokens=32)


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame(make_rows(40, 7)).assign(id=[str(number) for number in range(40)])


@pytest.fixture
def saved(tiny_model: Path, tmp_path: Path) -> Path:
    from tasks.methods.problems.text_classification import load_model

    load_model(tiny_model, PROBLEM, True).save_pretrained(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / name).write_bytes((tiny_model / name).read_bytes())
    return tmp_path / "model"


def test_each_block_asks_both_models_the_same_rows_in_turn(saved: Path, rows: pd.DataFrame, monkeypatch):
    asked: list[tuple[str, tuple[str, ...]]] = []
    opened = measuring_models(asked)
    monkeypatch.setattr("tasks.methods.models.predictor.open_model", opened)
    costs = measure_side_by_side((saved, PROBLEM), (saved / "..", PROBLEM), rows)
    timed = asked[1 + 2 * MEMORY_REPEATS :]
    pieces = SINGLES + 1
    turns = [timed[start : start + pieces] for start in range(0, len(timed), pieces)]

    assert len(turns) == 2 * BLOCKS
    for first, second in zip(turns[::2], turns[1::2], strict=True):
        assert [ids for _, ids in first] == [ids for _, ids in second]
        assert {name for name, _ in first + second} == {"model", ".."}
        assert [len(ids) for _, ids in first] == [1] * SINGLES + [BATCH]
    assert [turn[0][0] for turn in turns[:4]] == ["..", "model", "model", ".."]
    assert (len(costs.candidate.singles), len(costs.candidate.batches)) == (BLOCKS, BLOCKS)


def measuring_models(asked: list[tuple[str, tuple[str, ...]]]):
    """Models that only note what they are asked."""

    def open_model(folder: Path, problem: TextClassification):
        return lambda rows: asked.append((folder.name, tuple(rows["id"])))

    return open_model


@pytest.mark.slow
def test_real_models_are_measured_with_their_bytes(saved: Path, rows: pd.DataFrame, monkeypatch):
    monkeypatch.setattr(measuring, "BLOCKS", 2)
    costs = measure_side_by_side((saved, PROBLEM), (saved, PROBLEM), rows)

    assert costs.candidate.size_bytes == sum(file.stat().st_size for file in saved.iterdir())
    assert all(seconds > 0 for block in costs.champion.singles for seconds in block)
    assert all(seconds > 0 for seconds in costs.champion.batches)
    assert len(costs.candidate.memory_bytes) == MEMORY_REPEATS
    assert min(costs.candidate.memory_bytes) > 0
