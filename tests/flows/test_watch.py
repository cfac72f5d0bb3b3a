"""What counts as new data, and when it is looked at. Alone: pytest tests/flows/test_watch.py."""

import os
import shutil
from pathlib import Path

import pytest

from flows import watch
from tasks.services.storage.store import Store


class Watched:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.reads = 0

    def look(self) -> tuple[bool, int]:
        """Whether there are new data, and how often files were digested to tell."""
        before = self.reads
        return watch._has_changed("watched"), self.reads - before


@pytest.fixture
def watched(monkeypatch, tmp_path: Path, store: Store) -> Watched:
    made, pin = Watched(), watch.pin_sources

    def count(*given: object) -> object:
        made.reads += 1
        return pin(*given)

    for key in store.list_keys("watched/watched/"):
        store.delete([key])
    monkeypatch.setenv("TUNEGATE_RECIPES", str(tmp_path))
    monkeypatch.setattr(watch, "pin_sources", count)
    monkeypatch.setattr(watch, "emit", lambda _, name, *__, **___: made.told.append(name))
    return made


def test_files_are_read_only_when_their_list_differs(watched: Watched, make_recipe):
    train = make_recipe("watched").parent / "train.csv"

    assert watched.look() == (False, 1)
    assert watched.look() == (False, 0)
    os.utime(train, (1, 1))
    assert watched.look() == (False, 1)
    train.write_text(train.read_text() + "one more,bad\n")
    assert watched.look() == (True, 1)
    assert watched.look() == (False, 0)
    assert watched.told == ["watched"]


def test_objects_are_fetched_only_when_their_list_differs(watched: Watched, make_recipe, store: Store, settings):
    rows = (make_recipe("watched").parent / "train.csv").read_bytes()
    store.replace("arriving/a.csv", rows)
    train = {"path": f"s3://{store.bucket}/arriving/*.csv", "text": "text", "label": "label"}
    make_recipe("watched", data={"train": train, "test": {"path": "test.csv", "text": "text", "label": "label"}})
    assert watched.look() == (False, 1)
    shutil.rmtree(settings.home / "incoming")

    # make_recipe wrote test.csv, and nothing since.
    assert watched.look() == (False, 0)
    assert not (settings.home / "incoming").exists()
    store.replace("arriving/b.csv", rows)
    assert watched.look() == (True, 1)
    store.delete(["arriving/b.csv"])
    # What was seen once is not new again.
    assert watched.look() == (False, 1)


def test_list_is_kept_after_the_event_so_that_one_that_was_lost_is_told_again(
    watched: Watched, make_recipe, monkeypatch
):
    def lose(*_: object, **__: object) -> None:
        raise OSError

    train = make_recipe("watched").parent / "train.csv"
    watched.look()
    train.write_text(train.read_text() + "one more,bad\n")
    with monkeypatch.context() as lost:
        lost.setattr(watch, "emit", lose)
        with pytest.raises(OSError):
            watched.look()

    assert watched.look() == (True, 1)
