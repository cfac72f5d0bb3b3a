"""A memory limit over all processes of a run, so that one run cannot take a whole machine down."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import psutil

from schemas.errors import MemoryLimit

SAMPLE_SECONDS = 0.2
AGAIN_SECONDS = 5.0
SIGNAL = signal.SIGUSR2
GIGABYTE = 10**9


@contextlib.contextmanager
def limited_memory(name: str, limit_gb: float | None) -> Iterator[None]:
    """Raise MemoryLimit in the body once its processes exceed the limit; main thread only, where signals arrive."""
    if limit_gb is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    held, ended, main = 0, threading.Event(), threading.get_ident()

    def refuse(*_: object) -> None:
        # The signal may arrive after the body has ended.
        if not ended.is_set():
            raise MemoryLimit(
                f"{name}: the run's processes held {held / GIGABYTE:.2f} GB of memory, more than the {limit_gb:g} GB "
                "of TUNEGATE_MEMORY_GB. Raise it, or need less: lower training.batch_size or "
                "training.micro_batch_tokens, set training.gradient_checkpointing, or take fewer rows. Then run "
                "again: finished steps are not repeated."
            )

    def watch() -> None:
        nonlocal held
        while not ended.wait(SAMPLE_SECONDS):
            held = held_bytes()
            if held > limit_gb * GIGABYTE:
                signal.pthread_kill(main, SIGNAL)
                # Repeat it in case an except clause swallowed it.
                ended.wait(AGAIN_SECONDS)

    before = signal.signal(SIGNAL, refuse)
    thread = threading.Thread(target=watch, daemon=True, name="memory limit")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        signal.signal(SIGNAL, before)


def held_bytes() -> int:
    """Sum the resident memory of this process and its children; other sessions are services, not counted."""
    held, session = 0, os.getsid(0)
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        # A process may end during the loop.
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session:
                held += process.memory_info().rss
    return held
