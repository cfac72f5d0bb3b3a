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
    held, ended, main = 0, threading.Event(), threading.get_ident()

    def refuse(*_: object) -> None:
        # A signal that is still on its way when the body ends does nothing.
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
                # Once more if somebody has swallowed it.
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
    """What this process and its children hold in memory; what runs in a session of its own is a service, not theirs."""
    held, session = 0, os.getsid(0)
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        # A process may end meanwhile.
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session:
                held += process.memory_info().rss
    return held
