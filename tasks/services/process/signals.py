"""Signals to end: what they do to a command, and how they wait until the work is saved."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import Preempted

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_told: list[int] = []
_is_command = threading.Event()


def end_when_told() -> None:
    """Let signals to end raise Preempted where they find this process, and wherever `raise_if_told` is asked then."""
    _told.clear()
    _is_command.set()
    for number in SIGNALS:
        # One that is ignored (the Ctrl-C of a background job) stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _be_told)


def end_flow_when_told() -> None:
    """Take SIGTERM back from Prefect, which handles it in each flow by itself; a worker's runs leave it there."""
    if _is_command.is_set() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _be_told)


def _be_told(number: int, _: object) -> None:
    _told.append(number)
    raise_if_told()


def raise_if_told() -> None:
    """Raises Preempted after a signal to end: what is raised within a finalizer, Python swallows."""
    if _told:
        name = signal.Signals(_told[0]).name
        raise Preempted(f"Told to end ({name}). Run the same command again: it goes on from what is finished or saved.")


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
    raise_if_told()
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
