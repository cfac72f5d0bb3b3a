"""The running stack as another user of the machine, another shell and a web page find it.

Alone: pytest -m '' tests/integration/test_doors.py
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.stack import Stack, local_stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NOBODY = 65_534
PLANTED = {"AWS_ACCESS_KEY_ID": "PLANTEDKEY", "AWS_SECRET_ACCESS_KEY": "planted-secret"}
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look from another account")


@pytest.fixture(scope="module")
def stack(tiny_model: Path) -> Iterator[Stack]:
    # Unlike pytest's folders, open to others: only the home's own mode keeps them out.
    folder = Path(tempfile.mkdtemp(prefix="tunegate-doors-"))
    folder.chmod(0o755)
    with local_stack(folder, tiny_model, **PLANTED) as made:
        yield made
    shutil.rmtree(folder)


def processes(stack: Stack) -> list[psutil.Process]:
    """Those of this home, by their environment or, the store, by its folder."""
    found = []
    for process in psutil.process_iter():
        try:
            home = stack.environment["TUNEGATE_HOME"]
            if process.environ().get("TUNEGATE_HOME") == home or f"-dir={home}/s3" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def as_nobody(*command: str | Path, given: str = "", seconds: float = 60) -> str:
    """Run a command as the user with the fewest rights, and give what it printed."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            user=NOBODY,
            group=NOBODY,
            extra_groups=(),
            cwd="/",
            env={"PATH": os.defpath, "HOME": "/nonexistent"},
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as waiting:
        return (waiting.stdout or b"").decode()
    return done.stdout


def test_everything_listens_on_loopback_and_prefect_answers_nobody_without_the_password(stack: Stack):
    listening = [
        one
        for process in processes(stack)
        for one in process.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 11
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
    # Prefect takes a body without a type for JSON, so a page of another origin reaches an API without a password.
    plant = httpx.post(f"{stack.api}/automations/", content=b"{}", headers={"Origin": "http://127.0.0.1:1"})
    assert plant.status_code == httpx.codes.UNAUTHORIZED
    for path in ("flow_runs/filter", "deployments/filter", "events"):
        assert httpx.post(f"{stack.api}/{path}", json={}).status_code == httpx.codes.UNAUTHORIZED
    user, _, password = stack.login.partition(":")
    answered = httpx.post(f"{stack.api}/flow_runs/filter", json={}, auth=(user, password))
    assert answered.status_code == httpx.codes.OK


def test_other_shells_of_the_same_user_need_to_know_nothing(stack: Stack):
    prefect = Path(sys.executable).with_name("prefect")
    known = {"PREFECT_API_URL": stack.api, "PREFECT_API_AUTH_STRING": stack.command("status", "--password").strip()}
    asked = [prefect, "work-pool", "inspect", "tunegate"]
    done = subprocess.run(asked, env=stack.environment | known, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "retrain/weekly" in stack.command("deploy")
    assert "password" not in stack.command("status")


@ROOT
def test_another_account_reads_no_file_and_opens_no_socket(stack: Stack):
    home = Path(stack.environment["TUNEGATE_HOME"])
    look = (
        "import json, os, pathlib, socket, sys\nfound = []\n"
        "for path in json.loads(sys.stdin.read()):\n"
        "    try:\n"
        "        if pathlib.Path(path).is_socket():\n"
        "            socket.socket(socket.AF_UNIX).connect(path)\n"
        "        else:\n"
        "            open(path, 'rb').read(1)\n"
        "        found.append(path)\n"
        "    except OSError:\n"
        "        pass\n"
        "print(json.dumps(found))"
    )
    running = processes(stack)
    bound = {str(one.laddr) for process in running for one in process.net_connections("unix")}
    paths = [str(path) for path in home.rglob("*") if path.is_socket() or path.is_file()]
    paths += [path for path in bound if path.startswith("/tmp/")]
    paths += [f"/proc/{process.pid}/environ" for process in running]

    assert home.stat().st_mode & 0o777 == 0o700
    assert any(path.endswith("prefect-login") for path in paths)
    assert any(path.endswith("supervisor.sock") for path in paths)
    assert json.loads(as_nobody("/usr/bin/python3", "-c", look, given=json.dumps(paths))) == []


@ROOT
@pytest.mark.skipif(not shutil.which("python3", path="/usr/bin"), reason="there is no interpreter that others may use")
def test_shell_of_the_store_tells_another_account_nothing(stack: Stack):
    (server,) = [process for process in processes(stack) if "mini" in process.cmdline()]
    ports = dict(flag.lstrip("-").split("=", 1) for flag in server.cmdline() if ".port=" in flag)
    weed = shutil.copy(server.exe(), "/tmp/tunegate-test-weed")
    try:
        where = [f"-master=127.0.0.1:{ports['master.port']}", f"-filer=127.0.0.1:{ports['filer.port']}"]
        printed = as_nobody(weed, "shell", *where, given="s3.configure\nfs.ls /buckets\n", seconds=15)
    finally:
        Path(weed).unlink()

    keys = json.loads(Path(stack.environment["TUNEGATE_HOME"], "s3.json").read_text())
    assert keys["identities"][0]["credentials"][0]["secretKey"] not in printed
    assert "tunegate" not in printed


def test_no_process_of_the_store_has_the_users_keys(stack: Stack):
    (server,) = [process for process in processes(stack) if "mini" in process.cmdline()]

    assert set(server.environ()) == {"PATH", "HOME", "GOMEMLIMIT", "GOGC"}
    assert server.exe().endswith("weed")


TEMPORARY = """
from flows.commands.app import prepare
from flows.commands.runtime import make_homes

prepare()
make_homes()
import httpx
from prefect.client.orchestration import get_client

from flows.prefect_server.connection import reach_server

reach_server()
with get_client(sync_client=True) as client:
    print(httpx.post(f"{client.api_url}flow_runs/filter", json={}).status_code, len(client.read_flow_runs()))
"""


def test_temporary_server_of_a_command_requires_the_password_of_the_home(tmp_path: Path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = kept | {"TUNEGATE_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", TEMPORARY], env=environment, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["401", "0"], done.stderr
    assert (tmp_path / "home" / "prefect-login").stat().st_mode & 0o777 == 0o600
