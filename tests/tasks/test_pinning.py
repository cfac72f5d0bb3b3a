"""Files that a source names. Alone: pytest tests/tasks/test_pinning.py."""

from pathlib import Path

import pytest

from schemas.data import Data
from schemas.errors import RecipeError
from tasks.pinning import pin_sources


def make_data(path: str) -> Data:
    source = {"text": "text", "label": "label"}
    return Data.model_validate({"train": source | {"path": path}, "test": source | {"path": "test.csv"}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "new").mkdir()
    for name in ("test.csv", "new/b.csv", "new/a.csv", "new/notes.jsonl", "new/[1].csv"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("new/*.csv", ["[1].csv", "a.csv", "b.csv"]),
        ("new/a.csv", ["a.csv"]),
        ("new/[1].csv", ["[1].csv"]),
        ("new/?.csv", ["a.csv", "b.csv"]),
    ],
)
def test_pattern_takes_the_files_in_the_order_of_their_names(folder: Path, path: str, names: list[str]):
    train, _ = pin_sources(make_data(path), folder)

    assert [Path(file.path).name for file in train.files] == names


def test_new_file_changes_the_digest(folder: Path):
    before, _ = pin_sources(make_data("new/*.csv"), folder)
    (folder / "new" / "c.csv").write_text("c")
    after, _ = pin_sources(make_data("new/*.csv"), folder)

    assert before.digest != after.digest


def test_pattern_that_matches_nothing_is_named(folder: Path):
    with pytest.raises(RecipeError, match=r"data.train.path is 'old/\*.csv': there is no file"):
        pin_sources(make_data("old/*.csv"), folder)
