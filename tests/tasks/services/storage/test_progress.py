"""Who is told how far a transfer is. Alone: pytest tests/tasks/services/storage/test_progress.py."""

import io
import time

import pytest

from tasks.services.storage.progress import SHOWN_BYTES, watched


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("screen", "num_bytes", "is_told"),
    [(Terminal(), SHOWN_BYTES, True), (Terminal(), SHOWN_BYTES - 1, False), (io.StringIO(), SHOWN_BYTES, False)],
)
def test_only_a_person_who_waits_is_told(monkeypatch, screen: io.StringIO, num_bytes: int, is_told: bool):
    monkeypatch.setattr("sys.stderr", screen)
    with watched("up weights", num_bytes) as move:
        time.sleep(0.2)  # a bar is drawn ten times a second at most
        move(num_bytes // 2)

    assert ("up weights" in screen.getvalue()) == is_told
    assert (" 50%" in screen.getvalue()) == is_told
