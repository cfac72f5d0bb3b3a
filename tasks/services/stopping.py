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
        found = {number: signal.getsignal(number) for number in SIGNALS}
        # A signal that is ignored (the Ctrl-C of a background job) stays ignored.
        self._handlers = {number: handler for number, handler in found.items() if handler != signal.SIG_IGN}

    def is_asked(self) -> bool:
        return self.signal is not None

    def obey(self) -> None:
        """Send the signal again, to whoever handled it before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
        asked, self.signal = self.signal, None
        if asked is not None:
            os.kill(os.getpid(), asked)

    def hold_back(self) -> None:
        for number in self._handlers:
            signal.signal(number, self.note)

    def note(self, number: int, _: object) -> None:
        """Remember the first signal; a second one means now."""
        is_second, self.signal = self.is_asked(), number
        if is_second:
            self.obey()


@contextmanager
def postponed_stop() -> Iterator[Stop]:
    """Hold SIGTERM and SIGINT back until `obey`; in a thread other than the main one no signal arrives."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    stop.hold_back()
    try:
        yield stop
    finally:
        # However the body ended: whoever asked must not wait for another attempt.
        stop.obey()
