"""In which files of a data set, laid out as on the hub, the rows of a split lie; they are read like any other files.

Source of the layouts: https://huggingface.co/docs/hub/datasets-file-names-and-splits. Only the data set's own Parquet,
JSON Lines and CSV files count: loading scripts are never run.
"""

import re
from pathlib import Path

from schemas.errors import RecipeError

# In this order; the first that names any file decides.
LAYOUTS = ("data/{split}-*", "data/{split}", "{split}-*", "{split}", "{split}/*")
SUFFIXES = (".parquet", ".jsonl", ".csv")


def patterns_of(split: str) -> list[str]:
    """Every place, relative to the data set's folder, where files of a split may lie."""
    return [layout.format(split=split) + suffix for layout in LAYOUTS for suffix in SUFFIXES]


def find_files(folder: Path, split: str) -> list[Path]:
    """Give the files of a split by name. Raises RecipeError for none, a shard missing, or two forms of the rows."""
    for layout in LAYOUTS:
        pattern = layout.format(split=split)
        found = sorted(path for suffix in SUFFIXES for path in folder.glob(pattern + suffix))
        if found:
            _check_whole(found, split)
            return found
    others = sorted(str(path.relative_to(folder)) for suffix in SUFFIXES for path in folder.rglob(f"*{suffix}"))
    raise RecipeError(
        f"there is no split {split!r} in {folder}: expected {', '.join(patterns_of(split)[:4])} or the like; its files "
        f"are {', '.join(others[:10]) or 'none that could be read'}."
    )


def _check_whole(files: list[Path], split: str) -> None:
    names = ", ".join(path.name for path in files[:5])
    if len({path.suffix for path in files}) > 1:
        raise RecipeError(f"the split {split!r} is there in several forms ({names}): leave one of them.")
    # train-00000-of-00002.parquet; after a download that was cut off a shard may be missing.
    shards = re.search(r"-of-(\d+)", files[0].stem)
    if shards and len(files) != int(shards[1]):
        raise RecipeError(
            f"the split {split!r} has {len(files)} of its {int(shards[1])} files ({names}): fetch it again."
        )
