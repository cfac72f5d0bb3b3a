"""SIGTERM and SIGINT: raised as Preempted in a command, deferred while a training saves its work."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import Preempted

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_received: list[int] = []
_is_command = threading.Event()


def raise_on_signals() -> None:
    """Raise Preempted on SIGTERM and SIGINT from now on, and again at each `raise_if_signalled` after one."""
    _received.clear()
    _is_command.set()
    for number in SIGNALS:
        # An ignored signal (the Ctrl-C of a background job) stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _on_signal)


def raise_on_sigterm() -> None:
    """Take SIGTERM back from Prefect, which handles it in each flow; a worker's runs leave it to Prefect."""
    if _is_command.is_set() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _on_signal)


def _on_signal(number: int, _: object) -> None:
    _received.append(number)
    raise_if_signalled()


def raise_if_signalled() -> None:
    """Raise Preempted if a signal has arrived: Python swallows what a handler raises within a finalizer."""
    if _received:
        name = signal.Signals(_received[0]).name
        raise Preempted(f"Interrupted by {name}. Run the same command again: it resumes from the last finished step.")


class DeferredSignals:
    """The first signal that arrived, kept until `deliver` sends it to the handlers from before."""

    def __init__(self) -> None:
        self.signal: int | None = None
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        # An ignored signal (the Ctrl-C of a background job) stays ignored.
        self.handlers = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}

    def is_pending(self) -> bool:
        return self.signal is not None

    def deliver(self) -> None:
        """Restore the previous handlers and send the pending signal again."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
        pending, self.signal = self.signal, None
        if pending is not None:
            os.kill(os.getpid(), pending)

    def receive(self, number: int, _: object) -> None:
        """Keep the first signal; deliver a second one at once."""
        is_second, self.signal = self.is_pending(), number
        if is_second:
            self.deliver()


@contextmanager
def deferred_signals() -> Iterator[DeferredSignals]:
    """Defer SIGTERM and SIGINT until `deliver` or the end of the body; main thread only, where signals arrive."""
    raise_if_signalled()
    deferred = DeferredSignals()
    if threading.current_thread() is not threading.main_thread():
        yield deferred
        return
    for number in deferred.handlers:
        signal.signal(number, deferred.receive)
    try:
        yield deferred
    finally:
        # Also after an error: a retry would keep the sender of the signal waiting.
        deferred.deliver()
