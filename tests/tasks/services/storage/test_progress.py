"""The progress bar of large transfers. Alone: pytest tests/tasks/services/storage/test_progress.py."""

import io
import time

import pytest

from tasks.services.storage.progress import SHOWN_BYTES, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("screen", "num_bytes", "is_shown"),
    [(Terminal(), SHOWN_BYTES, True), (Terminal(), SHOWN_BYTES - 1, False), (io.StringIO(), SHOWN_BYTES, False)],
)
def test_bar_is_shown_on_a_terminal_only(monkeypatch, screen: io.StringIO, num_bytes: int, is_shown: bool):
    monkeypatch.setattr("sys.stderr", screen)
    with progress_bar("up weights", num_bytes) as move:
        time.sleep(0.2)  # a bar is drawn ten times a second at most
        move(num_bytes // 2)

    assert ("up weights" in screen.getvalue()) == is_shown
    assert (" 50%" in screen.getvalue()) == is_shown
