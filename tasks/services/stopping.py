"""A signal to end that waits until the work is saved."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether a signal has come, and letting it do then what it would have done."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def is_asked(self) -> bool:
        return self.signal is not None

    def obey(self) -> None:
        """Send the signal again, to whoever handled it before."""
        self.restore()
        if self.signal is not None:
            os.kill(os.getpid(), self.signal)

    def restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)

    def note(self, number: int, _: object) -> None:
        """Remember the first signal; a second one means now."""
        if self.is_asked():
            self.obey()
        self.signal = number


@contextmanager
def postponed_stop() -> Iterator[Stop]:
    """Hold SIGTERM and SIGINT back until `obey`; in a thread other than the main one no signal arrives."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    for number in SIGNALS:
        signal.signal(number, stop.note)
    try:
        yield stop
        stop.obey()
    finally:
        stop.restore()
