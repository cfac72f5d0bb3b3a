"""Secrets that are planted in the environment turn up nowhere: not in output, files, the bucket, Prefect or W&B.

Alone: pytest tests/integration/test_planted_secrets.py -m slow -s
"""

import base64
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.settings import Settings
from tasks.services.local import object_store
from tasks.services.storage.store import Store
from tests.integration.stack import TUNEGATE, Stack, local_stack, run_deployment, until
from tests.integration.test_limits_and_notices import Receiver
from tests.tasks.services.tracking.wandb_server import WandbServer, wandb_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
BUCKET = "planted"
CLOSED = "http://127.0.0.1:9"
ASKED = (
    "logs",
    "artifacts",
    "variables",
    "flow_runs",
    "task_runs",
    "deployments",
    "work_pools",
    "automations",
    "block_documents",
    "events",
)


def make_secrets() -> dict[str, str]:
    """What nobody would write by chance; some with signs that addresses write otherwise."""
    return {
        "W&B": secrets.token_hex(20),
        "S3 key": "AK" + secrets.token_hex(9).upper(),
        "S3 secret": secrets.token_hex(20),
        "wrong S3 secret": secrets.token_hex(20),
        "Prefect": f"p+{secrets.token_hex(12)}&=",
        "wrong Prefect": f"p+{secrets.token_hex(12)}&=",
        "hub": f"hf_{secrets.token_hex(17)}",
        "signing": f"s {secrets.token_hex(12)}%",
        "wrong signing": f"s {secrets.token_hex(12)}%",
        "endpoint": f"e{secrets.token_hex(12)}",
        "address of Prefect": f"a{secrets.token_hex(12)}",
        "receiver": f"r{secrets.token_hex(12)}",
    }


def forms_of(secret: str) -> set[bytes]:
    """A secret as it is, as in an address, in JSON, and in base64 wherever in a longer text it begins."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    for shift in range(3):
        # The first and the last signs depend on what stands beside it.
        encoded = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 :]
        found |= {encoded[:-4], encoded[:-4].replace(b"+", b"-").replace(b"/", b"_")}
    return found


class Search:
    def __init__(self, planted: dict[str, str]) -> None:
        self.forms = {name: forms_of(secret) for name, secret in planted.items()}
        self.looked_at: dict[str, int] = {}

    def names_in(self, data: bytes) -> list[str]:
        return [name for name, forms in self.forms.items() if any(form in data for form in forms)]

    def among(self, kind: str, things: dict[str, bytes]) -> list[str]:
        """Where a secret lies, each as `what: which secret`; how much was looked at is counted."""
        self.looked_at[kind] = self.looked_at.get(kind, 0) + len(things)
        return [f"{kind} {where}: {name}" for where, data in things.items() for name in self.names_in(data)]


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def objects_of(store: Store) -> dict[str, bytes]:
    return {key: store.read(key) or b"" for key in store.list_keys("")}


def said_by_prefect(stack: Stack) -> dict[str, bytes]:
    """All that the API gives, page by page."""
    name, _, password = stack.environment["PREFECT_API_AUTH_STRING"].partition(":")
    found: dict[str, bytes] = {}
    with httpx.Client(auth=(name, password), timeout=60) as client:
        for what in ASKED:
            for page in range(50):
                given = {} if what == "events" else {"limit": 200, "offset": 200 * page}
                answer = client.post(f"{stack.api}/{what}/filter", json=given)
                assert answer.status_code == 200, (what, answer.text)
                found[f"{what} {page}"] = answer.content
                if what == "events" or len(answer.json()) < 200:
                    break
    return found


def command_lines(stack: Stack) -> dict[str, bytes]:
    """How the stack's processes were started, which every account of the machine can see."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get("TUNEGATE_HOME") == stack.environment["TUNEGATE_HOME"]:
                found[str(process.pid)] = "\0".join(process.cmdline()).encode()
        except psutil.Error:
            continue
    return found


class Scene:
    """A stack whose environment holds secrets, an S3 server that takes two of them, a W&B and a receiver of messages that are none."""

    def __init__(
        self, stack: Stack, store: Store, wandb: WandbServer, receiver: Receiver, planted: dict[str, str]
    ) -> None:
        self.stack, self.store, self.wandb, self.receiver, self.planted = stack, store, wandb, receiver, planted
        self.printed: dict[str, bytes] = {}

    def call(self, title: str, *arguments: object, **changed: str) -> int:
        environment = self.stack.environment | changed
        command = [TUNEGATE, *(str(argument) for argument in arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=400, check=False)
        self.printed[title] = done.stdout + done.stderr
        print(f"{title:24} exit {done.returncode}  {done.stderr.decode().strip().splitlines()[-1:]}", flush=True)
        return done.returncode


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Scene]:
    planted, folder = make_secrets(), tmp_path_factory.mktemp("planted")
    with ExitStack() as ending:
        store = start_s3(folder / "elsewhere", planted)
        ending.callback(object_store.stop, Settings(home=folder / "elsewhere"))
        wandb = ending.enter_context(wandb_server())
        receiver = Receiver()
        ending.callback(receiver.end)
        login = f"admin:{planted['Prefect']}"
        environment = {
            "TUNEGATE_S3_ENDPOINT": store.address.endpoint,
            "TUNEGATE_BUCKET": BUCKET,
            "AWS_ACCESS_KEY_ID": planted["S3 key"],
            "AWS_SECRET_ACCESS_KEY": planted["S3 secret"],
            "PREFECT_SERVER_API_AUTH_STRING": login,
            "PREFECT_API_AUTH_STRING": login,
            "WANDB_API_KEY": planted["W&B"],
            "WANDB_BASE_URL": wandb.url,
            "WANDB_MODE": "online",
            "HF_TOKEN": planted["hub"],
            "TUNEGATE_NOTIFY": f"{receiver.address}/{planted['receiver']}",
            "TUNEGATE_SIGNING_KEY": str(make_key(folder / "key.pem", planted["signing"])),
            "TUNEGATE_SIGNING_KEY_PASSWORD": planted["signing"],
        }
        stack = ending.enter_context(local_stack(folder, tiny_model, **environment))
        yield Scene(stack, store, wandb, receiver, planted)


def start_s3(home: Path, planted: dict[str, str]) -> Store:
    """The embedded server outside of the home that is searched, with planted keys."""
    home.mkdir()
    keys = {"accessKey": planted["S3 key"], "secretKey": planted["S3 secret"]}
    identity = {"name": "planted", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (home / "s3.json").write_text(json.dumps({"identities": [identity]}))
    server = object_store.open_store(Settings(home=home))
    store = Store(replace(server.address, bucket=BUCKET), home / "seen")
    store.create_bucket()
    return store


def make_key(path: Path, password: str) -> Path:
    locked = serialization.BestAvailableEncryption(password.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, locked))
    return path


def test_search_finds_a_secret_in_every_form_it_may_take(tmp_path: Path):
    planted = make_secrets()
    search = Search(planted)
    for name, secret in planted.items():
        for prefix in ("", "a:", "bc:"):
            login = base64.b64encode(f"{prefix}{secret}".encode())
            for text in (secret.encode(), quote(secret).encode(), quote(secret, safe="").encode(), login):
                (tmp_path / "canary").write_bytes(b"\0before " + text + b" after")
                assert search.among("file", files_below(tmp_path)) == [f"file {tmp_path / 'canary'}: {name}"]
    (tmp_path / "canary").write_bytes(secrets.token_bytes(100_000))
    assert search.among("file", files_below(tmp_path)) == []


def test_embedded_servers_own_keys_lie_in_one_file_of_their_owner(store: Store, settings: Settings):
    """The server has to read them; it makes them itself, and they open nothing but this server on loopback."""
    own = {settings.home / "s3.json"}
    search = Search({"key": str(store.address.access_key), "secret": str(store.address.secret_key)})
    found = search.among("file", files_below(settings.home))

    assert {line.rpartition(":")[0].removeprefix("file ") for line in found} == {str(path) for path in own}
    assert {path.stat().st_mode & 0o777 for path in own} == {0o600}


def test_secrets_turn_up_nowhere(scene: Scene, tmp_path: Path):
    use_all(scene)
    search, home = Search(scene.planted), Path(scene.stack.environment["TUNEGATE_HOME"])
    (home / "canary").write_text(f"a log line with {scene.planted['W&B']} in it")
    scene.store.replace("canary", scene.planted["S3 secret"].encode())
    assert search.among("file", files_below(home)) == [f"file {home / 'canary'}: W&B"]
    found = search.among("object", objects_of(scene.store))
    assert found == ["object canary: S3 secret"]
    found = [
        *search.among("output", scene.printed),
        *search.among("Prefect", said_by_prefect(scene.stack)),
        *search.among("W&B", {str(number): body for number, body in enumerate(scene.wandb.bodies)}),
        *search.among("message", {str(number): text.encode() for number, text in enumerate(scene.receiver.texts)}),
        *search.among("command line", command_lines(scene.stack)),
    ]

    print(f"\nlooked at: {search.looked_at}")
    assert found == []
    assert min(search.looked_at.values()) >= 3


def use_all(scene: Scene) -> None:
    """A success, a run of a deployment, and failures of every kind that meets a secret."""
    recipes, planted, call = scene.stack.folder / "recipes", scene.planted, scene.call
    recipe = recipes / "tweets" / "full.yaml"
    assert call("success", "run", recipe, "--json") == 0
    with scene.stack.client() as client:
        done = run_deployment(client, "retrain/weekly", request={"recipe": "tweets/full", "seed": 7})
        failed = [run_deployment(client, "retrain/weekly", request={"whole_recipe": text}) for text in "abc"]
    assert done.state.is_completed(), done.state.message
    for run in failed:
        until(lambda run=run: scene.receiver.about(run))
    fails(scene, "wrong bucket", "run", recipe, TUNEGATE_BUCKET="no-such-bucket")
    fails(scene, "wrong S3 secret", "run", recipe, AWS_SECRET_ACCESS_KEY=planted["wrong S3 secret"])
    fails(scene, "no S3", "run", recipe, TUNEGATE_S3_ENDPOINT=CLOSED)
    address = scene.store.address.endpoint.replace("//", f"//user:{planted['endpoint']}@")
    fails(scene, "password in the address", "run", recipe, TUNEGATE_S3_ENDPOINT=address)
    fails(scene, "wrong signing", "run", recipe, TUNEGATE_SIGNING_KEY_PASSWORD=planted["wrong signing"])
    fails(scene, "wrong Prefect", "run", recipe, PREFECT_API_AUTH_STRING=f"admin:{planted['wrong Prefect']}")
    address = scene.stack.api.replace("//", f"//ops:{planted['address of Prefect']}@")
    fails(scene, "password in Prefect's", "deploy", PREFECT_API_URL=address, PREFECT_API_AUTH_STRING="")
    address = scene.stack.api.replace("//", f"//admin:{quote(planted['Prefect'], safe='')}@")
    assert call("deploy there", "deploy", PREFECT_API_URL=address) == 0
    fails(scene, "block that is none", "deploy", PREFECT_API_URL=address, TUNEGATE_NOTIFY="slack-webhook/ops")
    fails(scene, "failing step", "run", recipe, "--set", "data.train.label=absent", "--json")
    assert b'"state": "failed"' in scene.printed["failing step"]
    hub = (
        "{kind: hub, id: no/such, revision: 0123456789012345678901234567890123456789, split: train, text: a, label: b}"
    )
    fails(scene, "no hub", "run", recipe, "--set", f"data.train={hub}")
    assert call("no W&B", "run", recipe, "--set", "training.seeds=[3]", WANDB_BASE_URL=CLOSED) == 0
    fails(scene, "sync to no W&B", "sync", WANDB_BASE_URL=CLOSED)
    scene.wandb.refused = {"UpsertBucket": 401}
    fails(scene, "sync, refused", "sync")
    scene.wandb.refused = {}
    assert call("sync", "sync") == 0
    assert call("history", "history", "tiny") == 0
    assert call("status", "status") == 0


def fails(scene: Scene, title: str, *arguments: object, **changed: str) -> None:
    assert scene.call(title, *arguments, **changed) in (2, 5), title
    assert b"Traceback" not in scene.printed[title], scene.printed[title].decode()[-3000:]
