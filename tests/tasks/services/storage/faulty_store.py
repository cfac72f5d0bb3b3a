"""A store whose requests fail as networks do: the real client and server, with faults put in on the way.

    faulty = FaultyStore(store, tmp_path)
    faulty.faults.append(Fault("PutObject", kind="time-out after success"))

A fault meets the first request that fits it, once, unless `times` says more.
"""

import re
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from tasks.services.storage.store import Store

Kind = Literal[
    "error",  # 500, nothing done
    "refused",  # 403, nothing done
    "slow",  # done, after `seconds`
    "lost connection",  # nothing done, no answer
    "time-out after success",  # done, no answer
    "wrong bytes",  # the answer's body is altered on the way
]


@dataclass
class Fault:
    operation: str
    kind: Kind
    key: str = ""
    times: int = 1
    seconds: float = 0.5

    def fits(self, operation: str, url: str) -> bool:
        return self.times > 0 and self.operation == operation and re.search(self.key, url) is not None


@dataclass
class FaultyStore(Store):
    """A store that records its requests, as (operation, path)."""

    store: Store
    local: Path
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.store.address, self.local)
        for client in (self._client, self._committer):
            client.meta.events.register("before-send.s3.*", self._meet)

    def _meet(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        operation = event_name.rpartition(".")[2]
        self.requests.append((operation, request.url.removeprefix(self.address.endpoint)))
        fault = next((fault for fault in self.faults if fault.fits(operation, request.url)), None)
        if fault is None:
            return None
        fault.times -= 1
        return getattr(self, f"_{fault.kind.replace(' ', '_').replace('-', '_')}")(request, fault)

    def _error(self, request: Any, fault: Fault) -> AWSResponse:
        return answer(request, 500, "InternalError")

    def _refused(self, request: Any, fault: Fault) -> AWSResponse:
        return answer(request, 403, "AccessDenied")

    def _slow(self, request: Any, fault: Fault) -> None:
        time.sleep(fault.seconds)

    def _lost_connection(self, request: Any, fault: Fault) -> None:
        raise ConnectionClosedError(endpoint_url=request.url)

    def _time_out_after_success(self, request: Any, fault: Fault) -> None:
        URLLib3Session(proxies={}).send(request)
        raise ReadTimeoutError(endpoint_url=request.url)

    def _wrong_bytes(self, request: Any, fault: Fault) -> AWSResponse:
        real = URLLib3Session(proxies={}).send(request)
        altered = bytes([real.content[0] ^ 1]) + real.content[1:]
        headers = {name: value for name, value in real.headers.items() if not name.lower().startswith("x-amz-checksum")}
        return AWSResponse(real.url, real.status_code, headers, Body(altered))


class Body(BytesIO):
    """The part of a response that botocore reads."""

    def stream(self, amt: int = 2**16, **_: Any) -> Any:
        while chunk := self.read(amt):
            yield chunk


def answer(request: Any, status: int, code: str) -> AWSResponse:
    body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    return AWSResponse(request.url, status, {"content-type": "application/xml"}, Body(body))
