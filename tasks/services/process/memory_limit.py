"""A limit to the memory that the processes of a run hold together, so that one run cannot take a whole machine down."""

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
    """Raise MemoryLimit within the body once its processes hold more; without a limit nothing is watched.

    Nor is it in a thread other than the main one, which no signal reaches.
    """
    if limit_gb is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = Watch(name, limit_gb)
    before = signal.signal(SIGNAL, watch.refuse)
    watch.begin()
    try:
        yield
    finally:
        watch.end()
        signal.signal(SIGNAL, before)


class Watch:
    """Looks how much is held, in a thread of its own, and interrupts the main one."""

    def __init__(self, name: str, limit_gb: float) -> None:
        self._name, self._limit_gb, self._held = name, limit_gb, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="memory limit")

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Stop looking; a signal that is still on its way does nothing any more."""
        self._ended.set()
        self._thread.join()

    def refuse(self, *_: object) -> None:
        """Raises MemoryLimit, where the signal finds the main thread."""
        if not self._ended.is_set():
            raise MemoryLimit(
                f"{self._name}: the run's processes held {self._held / GIGABYTE:.2f} GB of memory, more than the "
                f"{self._limit_gb:g} GB of TUNEGATE_MEMORY_GB. Raise it, or need less: lower training.batch_size or "
                "training.micro_batch_tokens, set training.gradient_checkpointing, or take fewer rows. Then run "
                "again: finished steps are not repeated."
            )

    def _look(self) -> None:
        main = threading.main_thread().ident
        while not self._ended.wait(SAMPLE_SECONDS):
            self._held = held_bytes()
            if main and self._held > self._limit_gb * GIGABYTE:
                signal.pthread_kill(main, SIGNAL)
                # Once more if somebody has swallowed it.
                self._ended.wait(AGAIN_SECONDS)


def held_bytes() -> int:
    """What this process and its children hold in memory; what runs in a session of its own is a service, not theirs."""
    held, session = 0, os.getsid(0)
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        # A process may end meanwhile.
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session:
                held += process.memory_info().rss
    return held
