"""Models that were trained on this machine, kept so that none is trained twice.

    <place>/attempt-<pid>-<nonce>/         a training that goes on
    <place>/finished/model/                the model of the first attempt that ended well
    <place>/finished/finished.json         digests of its files, learning curve, cost

What was altered or damaged meanwhile is no finished model: it is removed and trained again.
"""

import logging
import shutil
from pathlib import Path
from typing import Self

import psutil
from pydantic import ValidationError

from schemas.frozen import Digest, FileName, Frozen, digest_of
from schemas.records.references import CurvePoint, TrainingCost
from tasks.services.storage.store import file_digest

log = logging.getLogger(__name__)


class Finished(Frozen):
    """A model's files by name, the curve and the cost of its training; `digest` covers files and curve."""

    digest: Digest
    files: dict[FileName, Digest]
    curve: tuple[CurvePoint, ...]
    cost: TrainingCost

    @classmethod
    def of(cls, model: Path, curve: tuple[CurvePoint, ...], cost: TrainingCost) -> Self:
        files = {path.name: file_digest(path) for path in sorted(model.iterdir())}
        points = [point.model_dump() for point in curve]
        return cls(digest=digest_of({"files": files, "curve": points}), files=files, curve=curve, cost=cost)

    def paths(self, place: Path) -> list[Path]:
        """Where the files of an adopted or kept model lie, in the order of their names."""
        return [place / "finished" / "model" / name for name in sorted(self.files)]


def keep(attempt: Path, place: Path, curve: tuple[CurvePoint, ...], cost: TrainingCost) -> Finished:
    """Make an attempt the finished one, unless another process was first with the same work; give the one that is."""
    made = Finished.of(attempt / "model", curve, cost)
    (attempt / "finished.json").write_text(made.model_dump_json())
    try:
        attempt.rename(place / "finished")
    except OSError:
        if (other := adopt(place)) is None:
            raise
        shutil.rmtree(attempt)
        return other
    return made


def adopt(place: Path) -> Finished | None:
    """Give the finished model of a place if its bytes are those that were written there."""
    folder = place / "finished"
    if not folder.exists():
        return None
    found = _read_whole(folder)
    if found is None:
        log.warning("%s: the model was altered or damaged after it was trained; it is trained again.", folder)
        shutil.rmtree(folder)
    return found


def _read_whole(folder: Path) -> Finished | None:
    """What was written there, None when any of it is missing or other than it was."""
    try:
        found = Finished.model_validate_json((folder / "finished.json").read_bytes())
        return found if found == Finished.of(folder / "model", found.curve, found.cost) else None
    except (OSError, ValidationError):
        return None


def remove_dead_attempts(place: Path) -> None:
    """Free the disk of attempts whose process is no more."""
    for attempt in place.glob("attempt-*"):
        if not psutil.pid_exists(int(attempt.name.split("-")[1])):
            shutil.rmtree(attempt, ignore_errors=True)
