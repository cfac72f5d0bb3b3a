"""One at a time: who computes a key holds a lease on it, and the others wait for the result.

    leases/<step>/<key>/<n>.json   who holds it; created once, never changed
    leases/<step>/<key>/<n>.beat   a counter its holder raises while it works, or "released"

The highest number counts. It is free to take over, by creating the next number, once it is released, once its holder
is seen dead on this machine, or once its counter has stood still for SILENCE_SECONDS of the *waiter's* own clock: no
clock is compared with another's. A holder that was only paused finds its place taken and loses harmlessly, since
what it writes is created-if-absent. Expiring leases: Gray & Cheriton 1989, "Leases".
"""

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import ValidationError

from schemas.errors import Conflict, StoreError
from schemas.frozen import Frozen, canonical_json
from tasks.services.process.identity import ProcessIdentity, is_dead, this_process
from tasks.services.storage.store import Store

BEAT_SECONDS = 5.0
SILENCE_SECONDS = 180.0  # more than a request that is lost and sent again takes
POLL_SECONDS = 1.0
RELEASED = b"released"
LEASE = re.compile(r"[0-9]{10}\.json")
Result = TypeVar("Result")
log = logging.getLogger(__name__)


class Holder(Frozen):
    """Who works; the nonce makes each attempt to become holder a different object."""

    process: ProcessIdentity
    nonce: str


@contextmanager
def sole_worker(store: Store, path: str, look_up: Callable[[], Result | None]) -> Iterator[Result | None]:
    """Give the result that is there or that another worker leaves; None when the body must compute it, alone."""
    found, lease = _find_or_take(store, path, look_up)
    if lease is None:
        yield found
        return
    with _beating(store, lease):
        # The one before may have finished after we looked and before it released.
        yield look_up()


@contextmanager
def sole_holder(store: Store, path: str) -> Iterator[Callable[[], None]]:
    """Hold the lease while the body runs; give what raises Conflict when another has taken over since."""
    watch = _Watch(store, path)
    while (number := watch.take()) is None:
        pass
    lease = _lease_key(path, number)

    def confirm() -> None:
        if watch.last_number() != number:
            raise Conflict(f"{lease}: this process was silent for so long that another has taken over.")

    with _beating(store, lease):
        yield confirm


@contextmanager
def _beating(store: Store, lease: str) -> Iterator[None]:
    ended = threading.Event()
    beat = threading.Thread(target=_keep_beating, args=(store, lease, ended), daemon=True, name="lease")
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join(BEAT_SECONDS)
        _beat(store, lease, RELEASED)


def wait_until_free(store: Store, path: str) -> None:
    """Return once nobody holds the lease.

    In the place of a holder that is lost the next number is created and released: should it only have been paused,
    it cannot `confirm` any more.
    """
    watch = _Watch(store, path)
    while not watch.is_released():
        number = watch.take()
        if number is None:
            continue
        _beat(store, _lease_key(path, number), RELEASED)
        # A number that a collection has removed meanwhile could be created once more, and tells nobody anything.
        if watch.last_number() == number:
            return


def _pause() -> None:
    time.sleep(POLL_SECONDS * (0.5 + secrets.randbelow(1000) / 1000))


def _find_or_take(store: Store, path: str, look_up: Callable[[], Result | None]) -> tuple[Result | None, str | None]:
    """Give the result, or else the key of the lease that is now ours."""
    watch = _Watch(store, path)
    while (found := look_up()) is None:
        number = watch.take()
        if number is not None:
            return None, _lease_key(path, number)
    return found, None


class _Watch:
    """What a waiter has seen of a lease."""

    def __init__(self, store: Store, path: str) -> None:
        self._store, self._path = store, path
        self._name = path.partition("/")[0]
        self._number = 0
        self._holder: ProcessIdentity | None = None
        self._beat: bytes | None = None
        self._since = 0.0

    def is_released(self) -> bool:
        """Whether the last holder has ended, or there was none."""
        number = self.last_number()
        return number == 0 or self._store.read(_beat_key(_lease_key(self._path, number))) == RELEASED

    def free_number(self) -> int | None:
        """The number to create, None while another holds the lease."""
        number = self.last_number()
        if number == 0:
            return 1
        beat = self._store.read(_beat_key(_lease_key(self._path, number)))
        return number + 1 if beat == RELEASED or self._is_lost(number, beat) else None

    def take(self) -> int | None:
        """Create the next number; None, after a pause, where another holds the lease or was faster."""
        number = self.free_number()
        if number is not None and self._store.create(_lease_key(self._path, number), _myself()):
            return number
        _pause()
        return None

    def last_number(self) -> int:
        """The highest number that was created, 0 before the first; whatever else lies there is no lease."""
        prefix = f"leases/{self._path}/"
        files = [key.removeprefix(prefix) for key in self._store.list_keys(prefix)]
        return max((int(file[:10]) for file in files if LEASE.fullmatch(file)), default=0)

    def _is_lost(self, number: int, beat: bytes | None) -> bool:
        if self._holder is None or number != self._number:
            self._holder = _read_holder(self._store, _lease_key(self._path, number))
            self._number, self._beat, self._since = number, beat, time.monotonic()
            log.info(
                "%-18s process %s on %s is at work on it: waiting", self._name, self._holder.pid, self._holder.host
            )
        if beat != self._beat:
            self._beat, self._since = beat, time.monotonic()
        if is_dead(self._holder):
            log.warning("%-18s process %s is dead: taking over", self._name, self._holder.pid)
            return True
        if time.monotonic() - self._since < SILENCE_SECONDS:
            return False
        log.warning("%-18s process %s has been silent: taking over", self._name, self._holder.pid)
        return True


def _keep_beating(store: Store, lease: str, ended: threading.Event) -> None:
    count, is_kept = 0, True
    while not ended.wait(BEAT_SECONDS):
        count += 1
        was_kept, is_kept = is_kept, _beat(store, lease, str(count).encode(), is_told=not is_kept)
        if is_kept and not was_kept:
            log.warning("The store answers again.")


def _beat(store: Store, lease: str, content: bytes, is_told: bool = False) -> bool:
    """Show a sign of life; False when the store does not take it, which is said unless it was told before."""
    try:
        store.replace(_beat_key(lease), content)
    except StoreError as error:
        # The work goes on: at worst another takes over and one of the two equal results is kept.
        if not is_told:
            log.warning("The work goes on, though its lease could not be renewed: %s", error)
        return False
    return True


def _read_holder(store: Store, lease: str) -> ProcessIdentity:
    try:
        return Holder.model_validate_json(store.read(lease) or b"").process
    except ValidationError:
        # Not one of ours, so its silence is all there is to go by.
        return ProcessIdentity(host="unknown", machine="", pid=0, started=0.0)


def _myself() -> bytes:
    return canonical_json(Holder(process=this_process(), nonce=secrets.token_hex(8)).model_dump())


def _lease_key(path: str, number: int) -> str:
    return f"leases/{path}/{number:010d}.json"


def _beat_key(lease: str) -> str:
    return lease.removesuffix(".json") + ".beat"
