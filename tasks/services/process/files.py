"""Files that other processes may use at the same time: replaced whole, locked in turns."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, suffix: str = ".partial") -> Iterator[Path]:
    """A file beside `path` for the body to write; it takes the place of `path` when the body ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}{suffix}")
    staging.unlink(missing_ok=True)
    try:
        yield staging
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def atomic_write(path: Path, content: bytes, suffix: str = ".partial", mode: int = 0o644) -> None:
    """Make a file hold these bytes, at once; writers that are not locked out need a `suffix` each."""
    with replacing(path, suffix) as staging:
        staging.touch(mode)
        staging.write_bytes(content)


@contextmanager
def flock(path: Path) -> Iterator[None]:
    """Hold a lock on a file, which is made, once no other process does; the end of the process frees it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
