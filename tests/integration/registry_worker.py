"""A store as one process sees it, that dies, loses requests, or has something happen at the worst moment."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from botocore.httpsession import URLLib3Session

from tasks.services.registry.gc import CONDEMNED
from tasks.services.storage.s3 import connect
from tests.tasks.services.storage.faulty_store import FaultyStore

KINDS = ("die before", "die after", "lose the answer", "lose the request")


class Died(BaseException):
    """The process is gone: nothing it still tries reaches the store."""


class Worker(FaultyStore):
    """A store as one process sees it; `arm` says which of its next requests is met by what."""

    def __post_init__(self) -> None:
        self._client, self._committer = (connect(self.store.address, attempts=1) for _ in range(2))
        self.address, self.bucket = self.store.address, self.store.bucket
        for client in (self._client, self._committer):
            client.meta.events.register("before-send.s3.*", self._meet)
        self.days = 0
        self.arm(None)

    def create(self, key: str, content: bytes) -> bool:
        if "/log/" in key:
            self._be_halfway()
        return super().create(key, content)

    def replace(self, key: str, content: bytes) -> None:
        super().replace(key, content)
        if key == CONDEMNED:
            self._be_halfway()

    def _be_halfway(self) -> None:
        """A writer has waited and will write its event, or a collector has marked and will remove."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()

    def now(self) -> datetime:
        return super().now() + timedelta(days=self.days)

    def arm(self, fault: tuple[int, str] | None, meanwhile: Callable[[], object] | None = None) -> None:
        self.fault, self.meanwhile, self.count, self.is_dead = fault, meanwhile, 0, False

    def _meet(self, request: Any, event_name: str, **_: Any) -> Any:
        self.count += 1
        if self.is_dead:
            raise Died
        if self.fault is None or self.count != self.fault[0]:
            return None
        match self.fault[1]:
            case "die before":
                self.is_dead = True
                raise Died
            case "die after":
                URLLib3Session(proxies={}).send(request)
                self.is_dead = True
                raise Died
            case "lose the answer":
                return self._time_out_after_success(request, None)
        return self._lost_connection(request, None)
