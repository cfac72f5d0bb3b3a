"""Files shared with other processes: atomic replacement and locking."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, suffix: str = ".partial") -> Iterator[Path]:
    """Yield a staging file beside `path`; it replaces `path` unless the body raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}{suffix}")
    staging.unlink(missing_ok=True)
    try:
        yield staging
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def atomic_write(path: Path, content: bytes, suffix: str = ".partial", mode: int = 0o644) -> None:
    """Write a file atomically; concurrent writers without a lock need distinct suffixes."""
    with replacing(path, suffix) as staging:
        staging.touch(mode)
        staging.write_bytes(content)


@contextmanager
def flock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, created if missing; the kernel frees it when the process ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
