"""Models trained on this machine, kept so that a failed upload never repeats a training.

    <place>/attempt-<pid>-<nonce>/         a running training
    <place>/finished/model/                the model of the first attempt that succeeded
    <place>/finished/finished.json         digests of its files, learning curve, cost

An altered or damaged model is deleted and trained again.
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


class LocalModel(Frozen):
    """Digests of a model's files by name, with its curve and cost; `digest` covers files and curve."""

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
        """Return the paths of the model's files, in the order of their names."""
        return [place / "finished" / "model" / name for name in sorted(self.files)]


def publish_model(attempt: Path, place: Path, curve: tuple[CurvePoint, ...], cost: TrainingCost) -> LocalModel:
    """Publish an attempt's model, unless another process was first; return the published one."""
    made = LocalModel.of(attempt / "model", curve, cost)
    (attempt / "finished.json").write_text(made.model_dump_json())
    try:
        attempt.rename(place / "finished")
    except OSError:
        if (other := find_model(place)) is None:
            raise
        shutil.rmtree(attempt)
        return other
    return made


def find_model(place: Path) -> LocalModel | None:
    """Return the model of a place, verified; a damaged one is deleted and None returned."""
    folder = place / "finished"
    if not folder.exists():
        return None
    found = _read_whole(folder)
    if found is None:
        log.warning("%s: the model was altered or damaged after its training; it is trained again.", folder)
        shutil.rmtree(folder)
    return found


def _read_whole(folder: Path) -> LocalModel | None:
    """Read and verify the model, None when anything is missing or altered."""
    try:
        found = LocalModel.model_validate_json((folder / "finished.json").read_bytes())
        return found if found == LocalModel.of(folder / "model", found.curve, found.cost) else None
    except (OSError, ValidationError):
        return None


def remove_dead_attempts(place: Path) -> None:
    """Delete attempts whose process has ended."""
    for attempt in place.glob("attempt-*"):
        if not psutil.pid_exists(int(attempt.name.split("-")[1])):
            shutil.rmtree(attempt, ignore_errors=True)
