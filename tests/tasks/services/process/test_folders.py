"""Folders of the home are tried first. Alone: pytest tests/tasks/services/process/test_folders.py."""

import errno
import os
from pathlib import Path

import pytest

from flows.commands.runtime import make_homes, translated_full_disk
from schemas.errors import UsageError
from tasks.services.process import folders
from tasks.services.process.folders import check_folders


def test_home_that_can_be_written_is_left_as_it_is(tmp_path: Path):
    (tmp_path / "blobs" / "sha256" / "ab").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    check_folders(tmp_path)

    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["blobs", "training", "blobs/sha256/ab", "wandb"])
def test_file_or_dead_link_in_place_of_a_folder_is_named(tmp_path: Path, name: str):
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    for make in (place.touch, lambda: place.symlink_to("/no/such/folder")):
        make()
        with pytest.raises(UsageError, match=f"TUNEGATE_HOME: {place} is not a folder"):
            check_folders(tmp_path)
        place.unlink()


def test_folder_of_another_user_is_named(tmp_path: Path, monkeypatch):
    (tmp_path / "pretrained").mkdir()
    # Root may write anywhere.
    monkeypatch.setattr(folders.os, "access", lambda path, _: path.name != "pretrained")
    with pytest.raises(UsageError, match="pretrained is not writable for this user"):
        check_folders(tmp_path)


def test_full_disk_is_found_before_it_matters(tmp_path: Path, monkeypatch):
    def fail(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folders.tempfile, "TemporaryFile", fail)
    with pytest.raises(UsageError, match="No space left on device. Free space"):
        check_folders(tmp_path)


@pytest.mark.parametrize("place", ["{}/file/prefect", "~no-such-login/prefect"])
def test_home_of_prefect_that_cannot_be_made_is_a_usage_error(tmp_path: Path, monkeypatch, place: str):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PREFECT_HOME", place.format(tmp_path))
    with pytest.raises(UsageError, match="PREFECT_HOME: .*Choose another"):
        make_homes()


def test_disk_that_becomes_full_is_told_and_other_failures_stay_what_they_are(tmp_path: Path):
    with (
        pytest.raises(UsageError, match="model.safetensors: .*then run the same command again"),
        translated_full_disk(),
    ):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "model.safetensors")
    with pytest.raises(ConnectionResetError), translated_full_disk():
        raise ConnectionResetError(errno.ECONNRESET, "reset")
