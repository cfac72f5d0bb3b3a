"""Standard output and error that go on when their reader has left, as in `tunegate models | head -1`."""

import io
import os
import sys
from typing import Any, TextIO


class _Pipe(io.FileIO):
    """A file descriptor that becomes the null device once nothing reads from it."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return super().write(data)


def outlive_readers() -> None:
    """Let a command end with its own exit code, and without a traceback, though nobody reads what it prints.

    Streams that do not belong to the process's descriptors, such as those of a test, stay as they are.
    """
    sys.stdout = _outliving(sys.stdout, sys.__stdout__)
    sys.stderr = _outliving(sys.stderr, sys.__stderr__)


def _outliving(stream: TextIO, original: TextIO | None) -> TextIO:
    if stream is None or stream is not original:
        return stream
    stream.flush()
    raw = _Pipe(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=stream is sys.__stderr__ or raw.isatty()
    )
