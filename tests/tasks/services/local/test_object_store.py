"""The embedded object store as another user of the machine finds it. Alone: pytest tests/tasks/services/local/test_object_store.py."""

import socket
import ssl
import tomllib
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest

from schemas.settings import Settings
from tasks.services.local import certificates, object_store
from tasks.services.storage.store import Store

FULL = "E1129 filer.go:301 insert entry /buckets/a/b: write /h/s3/filerldb2/00/000001.log: no space left on device\n"


@pytest.fixture
def server(store: Store, settings: Settings) -> psutil.Process:
    found = object_store.find_server(settings.home)
    assert found
    return found[0]


def ports_of(server: psutil.Process) -> list[int]:
    listening = [one for one in server.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
    return sorted(one.laddr.port for one in listening)


def shakes_hands(port: int, certificates_in: Path | None = None) -> bool:
    """Whether a gRPC port talks to a client, which shows the certificate of a folder or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if certificates_in:
        context.load_cert_chain(certificates_in / certificates.CERTIFICATE, certificates_in / certificates.KEY)
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as secured:
            return bool(secured.recv(1))
    except ssl.SSLError:
        return False


def test_grpc_ports_talk_to_clients_with_the_certificate_alone(
    server: psutil.Process, settings: Settings, tmp_path: Path
):
    certificates.secure(tmp_path)
    grpc = [port for port in ports_of(server) if port >= 20_000]

    assert len(grpc) == len(object_store.SERVERS)
    assert [port for port in grpc if shakes_hands(port) or shakes_hands(port, tmp_path)] == []
    assert [port for port in grpc if not shakes_hands(port, settings.home / "s3")] == []


def test_no_http_port_gives_or_takes_bytes_without_a_signature(server: psutil.Process):
    http = [port for port in ports_of(server) if port < 20_000]
    assert len(http) == len(object_store.SERVERS)
    for port in http:
        for path in ("1,01637037d6", "tunegate/", "dir/assign", "vol/status", "buckets/tunegate/", "col/delete"):
            url = f"http://127.0.0.1:{port}/{path}"
            codes = {httpx.get(url).status_code, httpx.put(url, content=b"x").status_code, httpx.post(url).status_code}
            assert codes <= {400, 401, 403, 404, 405}, url
    (volume,) = [flag.partition("=")[2] for flag in server.cmdline() if flag.startswith("-volume.port=")]
    assert httpx.get(f"http://127.0.0.1:{volume}/1,01637037d6").status_code == httpx.codes.UNAUTHORIZED


def test_server_is_given_nothing_of_the_users_environment(server: psutil.Process):
    """It makes an administrator of AWS_ACCESS_KEY_ID."""
    assert set(server.environ()) == {"PATH", "HOME", "GOMEMLIMIT", "GOGC"}


def test_what_it_writes_is_its_owners_alone_and_its_sockets_too(server: psutil.Process, settings: Settings):
    for name in (certificates.KEY, certificates.SECURITY, "filer.sock", "s3.sock", "mini.options"):
        assert (settings.home / "s3" / name).lstat().st_mode & 0o077 == 0, name
    bound = [Path(one.laddr) for one in server.net_connections("unix") if isinstance(one.laddr, str) and one.laddr]
    in_tmp = [path for path in bound if path.parent == Path("/tmp")]

    assert [path for path in in_tmp if "-grpc-" not in path.name or path.lstat().st_mode & 0o077] == []


def test_certificate_and_keys_are_made_once_and_again_where_one_is_missing(tmp_path: Path):
    certificates.secure(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    certificates.secure(tmp_path)
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / certificates.KEY).unlink()
    certificates.secure(tmp_path)

    assert all((tmp_path / name).read_bytes() != content for name, content in first.items())
    parts = tomllib.loads((tmp_path / certificates.SECURITY).read_text())
    keys = [parts["jwt"][kind]["key"] for kind in ("signing", "filer_signing")]
    keys += [parts["jwt"][kind]["read"]["key"] for kind in ("signing", "filer_signing")]
    assert len({*keys}) == 4
    assert min(map(len, keys)) == 64


@pytest.mark.parametrize(
    ("lines", "free", "expected"),
    [
        (FULL, 2**30, True),
        (FULL + "I1129 something else\n" * 9, 2**30, True),
        # Only a full disk would be found again.
        (FULL, 2**20, False),
        ("I1129 something else\n", 2**30, False),
        ("E1129 volume.go: write 1.dat: no space left on device\n", 2**30, False),
    ],
)
def test_server_whose_index_met_a_full_disk_is_started_anew_when_there_is_room(
    tmp_path: Path, monkeypatch, lines: str, free: int, expected: bool
):
    assert not object_store.is_stuck(tmp_path)
    (tmp_path / "s3.log").write_text(lines)
    monkeypatch.setattr(object_store.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    assert object_store.is_stuck(tmp_path) is expected
