"""The store on a real S3 server: blobs, checks, conditional writes. Alone: pytest tests/tasks/services/storage/test_store.py."""

import os
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

import boto3
import psutil
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from schemas.errors import Corrupt, StoreError, Unavailable, UsageError
from schemas.records.references import Blob
from tasks.services.local import object_store
from tasks.services.storage.s3 import Address, connect
from tasks.services.storage.store import MULTIPART_BYTES, Store, blob_key
from tests.tasks.services.storage.faulty_store import FaultyStore


@pytest.fixture
def remote(store: Store, tmp_path: Path) -> Store:
    """The same bucket from another machine, with an empty local cache."""
    return Store(store.address, tmp_path / "blobs")


def test_blob_comes_back_on_another_machine(store: Store, remote: Store):
    blob = store.put_bytes(b"some rows")

    assert remote.fetch(blob).read_bytes() == b"some rows"
    assert blob.size_bytes == 9


def test_file_larger_than_a_part_comes_back_whole(store: Store, remote: Store, tmp_path: Path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * ((MULTIPART_BYTES + 5_000) // 256))

    blob = store.put_file(path)

    assert remote.fetch(blob).read_bytes() == path.read_bytes()
    assert path.exists()


def test_several_files_keep_their_order_and_are_sent_once(store: Store, remote: Store, tmp_path: Path):
    paths = [tmp_path / str(number) for number in range(9)]
    for path in paths:
        path.write_bytes(secrets.token_bytes(MULTIPART_BYTES + 1 if path.name == "3" else 100))
    counted = FaultyStore(store, tmp_path / "counted")
    blobs = counted.put_files(paths)

    assert [fetched.read_bytes() for fetched in remote.fetch_all(blobs)] == [path.read_bytes() for path in paths]
    # Eight in one request each; one in two parts, begun and completed.
    assert len([operation for operation, _ in counted.requests if operation != "HeadObject"]) == 12
    counted.requests.clear()
    assert counted.put_files(paths) == blobs
    assert {operation for operation, _ in counted.requests} == {"HeadObject"}


def test_local_copies_can_be_read_as_far_as_the_umask_says(remote: Store):
    before = os.umask(0o027)
    try:
        path = remote.fetch(remote.put_bytes(b"for a service of the same group"))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_changed_local_copy_is_replaced_from_the_store(store: Store):
    blob = store.put_bytes(b"right bytes")
    store.fetch(blob).write_bytes(b"wrong bytes")

    assert store.fetch(blob).read_bytes() == b"right bytes"


def test_changed_stored_bytes_are_refused_with_the_key(store: Store, remote: Store):
    blob = store.put_bytes(b"true bytes")
    store.replace(blob_key(blob.digest), b"fals bytes")

    with pytest.raises(Corrupt, match=blob_key(blob.digest)):
        remote.fetch(blob)
    assert not list((remote.local / "sha256").rglob("*" + blob.digest))


def test_lost_blob_is_known_to_be_lost(store: Store):
    blob = store.put_bytes(b"to be lost")
    assert store.holds(blob)

    connect(store.address).delete_object(Bucket=store.bucket, Key=blob_key(blob.digest))

    assert not store.holds(blob)
    assert not store.holds(Blob(digest="0" * 64, size_bytes=1))


def test_create_writes_once_and_never_over(store: Store):
    assert store.create("once/a", b"first")
    assert not store.create("once/a", b"second")
    assert store.create("once/a", b"first")
    assert store.read("once/a") == b"first"
    assert store.read("once/b") is None


def test_exactly_one_of_many_creators_wins(store: Store):
    won: list[int] = []
    start = threading.Barrier(8)

    def create(number: int) -> None:
        start.wait()
        if store.create("race/a", b"%d" % number):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert store.read("race/a") == b"%d" % won[0]


def test_keys_are_listed_in_order_and_folders_by_name(store: Store):
    for name in ("b/2", "a/1", "b/1"):
        store.create(f"listed/{name}", b"")

    assert store.list_keys("listed/") == ["listed/a/1", "listed/b/1", "listed/b/2"]
    assert store.list_folders("listed/") == ["a", "b"]


def test_server_that_is_gone_is_unavailable_and_says_what_to_check(tmp_path: Path):
    gone = Store(Address("http://127.0.0.1:9", "tunegate", "a", "b"), tmp_path)

    with pytest.raises(Unavailable, match=r"127.0.0.1:9 did not answer.*TUNEGATE_S3_ENDPOINT"):
        gone.read("x")


def test_wrong_secret_is_refused_with_what_to_check(store: Store, tmp_path: Path):
    stranger = Store(Address(store.address.endpoint, store.bucket, store.address.access_key, "wrong"), tmp_path)

    with pytest.raises(StoreError, match=r"access was refused.*AWS_SECRET_ACCESS_KEY") as caught:
        stranger.read("x")
    assert not isinstance(caught.value, Unavailable)


class Proxy(BaseHTTPRequestHandler):
    """A proxy whose backend is down."""

    def do_GET(self) -> None:
        page = b"<html>no backend</html>"
        self.send_response(404)
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        pass


def test_proxy_that_finds_no_store_is_silence_and_no_missing_object(tmp_path: Path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        behind = Store(Address(f"http://127.0.0.1:{server.server_port}", "bucket", "a", "b"), tmp_path)
        with pytest.raises(Unavailable, match="answered 404"):
            behind.read("x")
        with pytest.raises(Unavailable, match="answered 404"):
            behind.list_keys("x")
        server.shutdown()


def test_missing_bucket_is_named(store: Store, tmp_path: Path):
    address = Address(store.address.endpoint, "no-such-bucket", store.address.access_key, store.address.secret_key)

    with pytest.raises(StoreError, match=r"no bucket 'no-such-bucket'.*TUNEGATE_BUCKET"):
        Store(address, tmp_path).create("x", b"")


def test_missing_credentials_are_named(store: Store, tmp_path: Path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(StoreError, match="no credentials were found"):
        Store(Address(store.address.endpoint, store.bucket), tmp_path).read("x")


def test_embedded_server_refuses_strangers_and_listens_on_loopback_only(store: Store):
    client = boto3.client(
        "s3",
        endpoint_url=store.address.endpoint,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )
    store.create("private/x", b"secret")

    with pytest.raises(ClientError, match="AccessDenied"):
        client.get_object(Bucket=store.bucket, Key="private/x")
    process = next(
        p for p in psutil.process_iter(["cmdline"]) if f"-dir={store.local.parent}/s3" in (p.info["cmdline"] or ())
    )
    filer = next(
        part.removeprefix("-filer.port=") for part in process.info["cmdline"] if part.startswith("-filer.port=")
    )
    back_door = f"http://127.0.0.1:{filer}/buckets/{store.bucket}/private/x"
    with pytest.raises(HTTPError, match="404"):
        urlopen(back_door, timeout=10)
    listening = {c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_embedded_server_is_not_asked_through_a_proxy(store: Store, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    assert Store(store.address, tmp_path).create("proxied", b"") is True


def test_home_that_cannot_be_made_is_told(tmp_path: Path):
    from schemas.settings import Settings

    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="TUNEGATE_HOME: the folder .*file/home cannot be created: Not a directory"):
        object_store.open_store(Settings(home=tmp_path / "file" / "home"))


def test_home_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch):
    from schemas.settings import Settings

    # Root may write anywhere.
    monkeypatch.setattr(object_store.os, "access", lambda *_: False)
    with pytest.raises(UsageError, match=f"TUNEGATE_HOME: the folder {tmp_path}.* is not writable"):
        object_store.open_store(Settings(home=tmp_path))


@pytest.mark.heavy
def test_silence_of_the_embedded_server_asks_for_no_endpoint_to_be_checked(tmp_path: Path):
    from schemas.settings import Settings

    store = object_store.open_store(Settings(home=tmp_path))
    object_store.stop(Settings(home=tmp_path))
    with pytest.raises(Unavailable, match="embedded server, log .*s3.log. Run again"):
        store.size("x")


@pytest.mark.heavy
def test_embedded_server_is_shared_survives_a_stop_and_keeps_its_data(tmp_path: Path):
    from schemas.settings import Settings

    settings = Settings(home=tmp_path)
    of_before = tmp_path / "s3.state.json"
    of_before.write_text("{}")
    first = object_store.open_store(settings)
    assert not of_before.exists()
    first.create("kept/x", b"data")
    object_store.open_store.cache_clear()
    assert object_store.open_store(settings).address == first.address

    assert object_store.stop(settings)
    assert not object_store.stop(settings)

    object_store.open_store.cache_clear()
    assert object_store.open_store(settings).read("kept/x") == b"data"
    object_store.stop(settings)
    assert (tmp_path / "s3.json").stat().st_mode & 0o077 == 0
