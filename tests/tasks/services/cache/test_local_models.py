"""Models that were trained here before. Alone: pytest tests/tasks/services/cache/test_local_models.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.records.references import CurvePoint, TrainingCost
from tasks.services.cache.local_models import adopt, keep, remove_dead_attempts

CURVE = (CurvePoint(step=5, epoch=0.5, loss=1.25), CurvePoint(step=5, epoch=0.5, validation_loss=1.5))
COST = TrainingCost(seconds=2.5, peak_memory_bytes=7, trained_parameters=1, parameters=4)


def make_attempt(place: Path, name: str, weights: bytes = b"weights") -> Path:
    attempt = place / name
    (attempt / "model").mkdir(parents=True)
    (attempt / "model" / "model.safetensors").write_bytes(weights)
    (attempt / "model" / "config.json").write_bytes(b"{}")
    return attempt


def test_first_attempt_to_end_is_the_finished_one(tmp_path: Path):
    first = keep(make_attempt(tmp_path, "one"), tmp_path, CURVE, COST)
    second = keep(make_attempt(tmp_path, "two", b"others"), tmp_path, (), COST)

    assert first == second == adopt(tmp_path)
    assert first.curve == CURVE
    assert [path.read_bytes() for path in second.paths(tmp_path)] == [b"{}", b"weights"]
    assert [path.name for path in tmp_path.iterdir()] == ["finished"]


def test_where_nothing_was_trained_nothing_is_adopted(tmp_path: Path):
    assert adopt(tmp_path) is None


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("model/model.safetensors", b"weighty"),
        ("model/extra.json", b"{}"),
        ("model/config.json", None),
        ("finished.json", b"{"),
        ("finished.json", None),
    ],
)
def test_what_was_altered_is_not_adopted_but_removed(tmp_path: Path, caplog, path: str, content: bytes | None):
    keep(make_attempt(tmp_path, "one"), tmp_path, CURVE, COST)
    file = tmp_path / "finished" / path
    file.unlink() if content is None else file.write_bytes(content)

    assert adopt(tmp_path) is None
    assert "altered or damaged" in caplog.text
    assert not (tmp_path / "finished").exists()


def test_altered_curve_is_noticed_too(tmp_path: Path):
    keep(make_attempt(tmp_path, "one"), tmp_path, CURVE, COST)
    file = tmp_path / "finished" / "finished.json"
    file.write_text(file.read_text().replace("1.25", "1.24"))

    assert adopt(tmp_path) is None


def test_only_attempts_of_dead_processes_are_removed(tmp_path: Path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    make_attempt(tmp_path, f"attempt-{gone.pid}-ab")
    alive = make_attempt(tmp_path, f"attempt-{os.getpid()}-cd")
    remove_dead_attempts(tmp_path)

    assert list(tmp_path.iterdir()) == [alive]
