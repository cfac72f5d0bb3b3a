"""Files of a split in a data set with the layout of the hub; they are read like other files.

Source of the layouts: https://huggingface.co/docs/hub/datasets-file-names-and-splits. Only the data set's own Parquet,
JSON Lines and CSV files count: loading scripts are never run.
"""

import re
from glob import glob
from pathlib import Path

from schemas.errors import RecipeError

# Tried in this order; the first that matches any file decides.
LAYOUTS = ("data/{split}-*", "data/{split}", "{split}-*", "{split}", "{split}/*")
SUFFIXES = (".parquet", ".jsonl", ".csv")


def patterns_of(split: str) -> list[str]:
    """Return every pattern, relative to the data set's folder, for files of a split."""
    return [layout.format(split=split) + suffix for layout in LAYOUTS for suffix in SUFFIXES]


def find_files(folder: Path, split: str) -> list[Path]:
    """Return the files of a split, sorted. Raises RecipeError for none, a missing shard, or several formats."""
    for layout in LAYOUTS:
        pattern = layout.format(split=split)
        # Hidden files, such as parts of downloads, are left out, which Path.glob would not do.
        names = sorted(name for suffix in SUFFIXES for name in glob(pattern + suffix, root_dir=folder))  # noqa: PTH207
        found = [folder / name for name in names if (folder / name).is_file()]
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
        raise RecipeError(f"the split {split!r} has files of several formats ({names}): keep one format.")
    # train-00000-of-00002.parquet; an interrupted download may lack a shard.
    shards = re.search(r"-of-(\d+)", files[0].stem)
    if shards and len(files) != int(shards[1]):
        raise RecipeError(
            f"the split {split!r} has {len(files)} of its {int(shards[1])} files ({names}): fetch it again."
        )
