"""Leases in the store: one process computes a key, the others wait for its result.

    leases/<step>/<key>/<n>.json   the holder; created once, never changed
    leases/<step>/<key>/<n>.beat   the heartbeat: a counter that the holder increments, or "released"

The highest number counts. A waiter takes over, by creating the next number, once the lease is released, its holder is
dead on this machine, or the counter has not changed for SILENCE_SECONDS by the *waiter's* clock: clocks of different
machines are never compared. A holder that was only paused finds itself replaced and loses harmlessly, since its
writes are create-if-absent. Expiring leases: Gray & Cheriton 1989, "Leases".
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
SILENCE_SECONDS = 180.0  # longer than a lost request and its retries
POLL_SECONDS = 1.0
RELEASED = b"released"
LEASE = re.compile(r"[0-9]{10}\.json")
Result = TypeVar("Result")
log = logging.getLogger(__name__)


class Holder(Frozen):
    """The process that holds a lease; the nonce makes each attempt to acquire it a different object."""

    process: ProcessIdentity
    nonce: str


@contextmanager
def sole_worker(store: Store, path: str, look_up: Callable[[], Result | None]) -> Iterator[Result | None]:
    """Yield the result that exists or that another process computes; None where the body must compute it."""
    watch = _Watch(store, path)
    while (found := look_up()) is None:
        number = watch.take()
        if number is not None:
            with _beating(store, _lease_key(path, number)):
                # The previous holder may have finished between our look-up and its release.
                yield look_up()
            return
    yield found


@contextmanager
def sole_holder(store: Store, path: str) -> Iterator[Callable[[], None]]:
    """Hold the lease during the body; yield a check that raises Conflict once another process has taken over."""
    watch = _Watch(store, path)
    while (number := watch.take()) is None:
        pass
    lease = _lease_key(path, number)

    def confirm() -> None:
        if watch.last_number() != number:
            raise Conflict(f"{lease}: this process missed its heartbeats for so long that another has taken over.")

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
    """Return once the lease is free.

    The lease of a lost holder is taken over and released: if it was only paused, its `confirm` fails from then on.
    """
    watch = _Watch(store, path)
    while not watch.is_released():
        number = watch.take()
        if number is None:
            continue
        _beat(store, _lease_key(path, number), RELEASED)
        # A number that garbage collection has removed meanwhile can be created again, which proves nothing.
        if watch.last_number() == number:
            return


def _pause() -> None:
    time.sleep(POLL_SECONDS * (0.5 + secrets.randbelow(1000) / 1000))


class _Watch:
    """A waiter's observations of a lease."""

    def __init__(self, store: Store, path: str) -> None:
        self._store, self._path = store, path
        self._name = path.partition("/")[0]
        self._number = 0
        self._holder: ProcessIdentity | None = None
        self._beat: bytes | None = None
        self._since = 0.0

    def is_released(self) -> bool:
        """Whether the last holder has released it, or there was none."""
        number = self.last_number()
        return number == 0 or self._store.read(_beat_key(_lease_key(self._path, number))) == RELEASED

    def free_number(self) -> int | None:
        """Return the number to create, None while another process holds the lease."""
        number = self.last_number()
        if number == 0:
            return 1
        beat = self._store.read(_beat_key(_lease_key(self._path, number)))
        return number + 1 if beat == RELEASED or self._is_lost(number, beat) else None

    def take(self) -> int | None:
        """Create the next number; None, after a pause, where another process holds the lease or was faster."""
        number = self.free_number()
        if number is not None:
            holder = Holder(process=this_process(), nonce=secrets.token_hex(8))
            if self._store.create(_lease_key(self._path, number), canonical_json(holder.model_dump())):
                return number
        _pause()
        return None

    def last_number(self) -> int:
        """Return the highest number created, 0 before the first; other files are ignored."""
        prefix = f"leases/{self._path}/"
        files = [key.removeprefix(prefix) for key in self._store.list_keys(prefix)]
        return max((int(file[:10]) for file in files if LEASE.fullmatch(file)), default=0)

    def _is_lost(self, number: int, beat: bytes | None) -> bool:
        if self._holder is None or number != self._number:
            self._holder = _read_holder(self._store, _lease_key(self._path, number))
            self._number, self._beat, self._since = number, beat, time.monotonic()
            log.info(
                "%-18s waiting for process %s on %s, which is computing it",
                self._name,
                self._holder.pid,
                self._holder.host,
            )
        if beat != self._beat:
            self._beat, self._since = beat, time.monotonic()
        if is_dead(self._holder):
            log.warning("%-18s process %s is dead: taking over", self._name, self._holder.pid)
            return True
        if time.monotonic() - self._since < SILENCE_SECONDS:
            return False
        log.warning("%-18s process %s sends no heartbeats: taking over", self._name, self._holder.pid)
        return True


def _keep_beating(store: Store, lease: str, ended: threading.Event) -> None:
    count, is_kept = 0, True
    while not ended.wait(BEAT_SECONDS):
        count += 1
        was_kept, is_kept = is_kept, _beat(store, lease, str(count).encode(), is_logged=is_kept)
        if is_kept and not was_kept:
            log.warning("The store answers again.")


def _beat(store: Store, lease: str, content: bytes, is_logged: bool = True) -> bool:
    """Write a heartbeat; False where the store fails, which is logged as a warning if `is_logged`."""
    try:
        store.replace(_beat_key(lease), content)
    except StoreError as error:
        # At worst another process takes over, and one of two equal results is kept.
        if is_logged:
            log.warning("The lease could not be renewed; the step continues without it: %s", error)
        return False
    return True


def _read_holder(store: Store, lease: str) -> ProcessIdentity:
    try:
        return Holder.model_validate_json(store.read(lease) or b"").process
    except ValidationError:
        # Not written by this version, so only missing heartbeats can show that it is lost.
        return ProcessIdentity(host="unknown", machine="", pid=0, started=0.0)


def _lease_key(path: str, number: int) -> str:
    return f"leases/{path}/{number:010d}.json"


def _beat_key(lease: str) -> str:
    return lease.removesuffix(".json") + ".beat"
