"""A writer that meets a collector between its marking and its removing, as far as it goes without waiting.

writer = Writer(action)
writer.begin()  # in the collector's way
writer.end()    # when the collector has ended; raises what the action raised
"""

import threading
from collections.abc import Callable

from tasks.services.storage import leases

wait_a_moment = leases._pause


class Writer(threading.Thread):
    def __init__(self, action: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.action, self.error = action, None
        self.halted, self.may_go_on = threading.Event(), threading.Event()

    def run(self) -> None:
        try:
            self.action()
        except BaseException as error:
            self.error = error
        finally:
            self.halted.set()

    def begin(self) -> None:
        self.start()
        assert self.halted.wait(60)

    def end(self) -> None:
        self.may_go_on.set()
        if self.ident:
            self.join(60)
        if self.error:
            raise self.error


def pause() -> None:
    """Takes the place of `leases._pause`: a writer waits until the collector has ended."""
    writer = threading.current_thread()
    if isinstance(writer, Writer) and not writer.may_go_on.is_set():
        writer.halted.set()
        writer.may_go_on.wait(60)
    else:
        wait_a_moment()
