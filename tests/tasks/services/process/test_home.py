"""Folders that are closed to other users. Alone: pytest tests/tasks/services/process/test_home.py."""

import os
from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.settings import Settings
from tasks.services.process.home import make_home

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder to another user")


@pytest.mark.parametrize("mode", [0o777, 0o755, 0o710, 0o2770])
def test_home_that_is_open_to_others_is_closed_at_each_start(tmp_path: Path, mode: int):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(mode)
    make_home(Settings(home=home))

    assert home.stat().st_mode & 0o777 == 0o700


def test_new_home_is_closed_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        make_home(Settings(home=tmp_path / "new" / "home"))
    finally:
        os.umask(before)

    assert (tmp_path / "new" / "home").stat().st_mode & 0o777 == 0o700


@ROOT
def test_home_of_another_user_is_refused_with_its_owner(tmp_path: Path):
    os.chown(tmp_path, 4321, -1)

    with pytest.raises(UsageError, match=f"TUNEGATE_HOME: the folder {tmp_path} belongs to the user 4321, who can"):
        make_home(Settings(home=tmp_path))


def test_file_system_that_keeps_no_modes_is_refused(tmp_path: Path, monkeypatch):
    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)

    with pytest.raises(UsageError, match="stays open to other users after chmod 0700"):
        make_home(Settings(home=tmp_path))
