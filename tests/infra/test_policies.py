"""What each account may do: read as AWS would, and tried on a server with those accounts.

Alone: pytest tests/infra/test_policies.py
"""

import ast
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from schemas.errors import Conflict
from schemas.settings import Settings
from tasks.services.local import object_store
from tasks.services.registry import doctor, versions
from tasks.services.registry.log import read_log
from tasks.services.storage import leases
from tasks.services.storage.s3 import Address, connect
from tasks.services.storage.store import Store, blob_key
from tests.flows.command import run
from tests.tasks.services.registry.test_versions import VERDICT, make_event, make_manifest, promote

BUCKET = "arn:aws:s3:::tunegate"
ROLES = ("trainer", "promoter", "reader")
CREATED, WRITTEN = "created once", "written"
# Who writes what, and how. `doctor` is for who promotes; what only an owner of the bucket does is no role's.
WRITERS = {
    "blobs/sha256/00/00": {"trainer": WRITTEN},
    "cache/train/0.json": {"trainer": WRITTEN},
    "last-keys/tweets/train.json": {"trainer": WRITTEN},
    "leases/train/0/1.beat": {"trainer": WRITTEN},
    "leases/collection/0/1.json": {"trainer": WRITTEN, "promoter": CREATED},
    "leases/collection/0/1.beat": {"trainer": WRITTEN, "promoter": WRITTEN},
    "checkpoints/train/0/files/0": {"trainer": WRITTEN},
    "doctor/0/read": {"promoter": WRITTEN},
    "models/m/versions/0/manifest.json": {"trainer": CREATED},
    "models/m/log/0.json": {"promoter": CREATED},
    "models/m/proposals/0/proposal.json": {"trainer": CREATED, "promoter": CREATED},
    "models/m/proposals/0/review.json": {"promoter": CREATED},
    "models/m/versions/0/model.sig": {"trainer": CREATED},
    "models/m/versions/0/bom.cdx.json": {"trainer": CREATED},
    "models/m/versions/0/card-0-0.md": {"trainer": CREATED, "promoter": CREATED},
    "models/m/pins/0-0.json": {"promoter": WRITTEN},
    "models/m-m/pins/0.json": {},
    "models/m/head.json": {"promoter": WRITTEN},
}
READERS = {
    "models/": set(ROLES),
    "blobs/": set(ROLES),
    "doctor/": {"promoter"},
    "leases/collection/": {"trainer", "promoter"},
}
REMOVERS = {"checkpoints/": {"trainer"}, "doctor/": {"promoter"}, "models/m/pins/": {"promoter"}}
ONLY_NEW = {"Null": {"s3:if-none-match": "false"}}


def read_policy(role: str) -> list[dict[str, Any]]:
    policy = json.loads((Path("infra/policies") / f"{role}.json").read_text())
    assert set(policy) == {"Version", "Statement"}
    assert policy["Version"] == "2012-10-17"
    return policy["Statement"]


def is_allowed(role: str, action: str, key: str, is_conditional: bool = False) -> bool:
    """What AWS would answer: allowed by a statement that applies, and denied by none."""
    effects = {
        statement["Effect"]
        for statement in read_policy(role)
        if f"s3:{action}" in statement["Action"]
        and any(fnmatchcase(f"{BUCKET}/{key}", resource) for resource in statement["Resource"])
        and (is_conditional or "Condition" not in statement)
    }
    return effects == {"Allow"}


def prefixes_of_the_code() -> set[str]:
    """First folders of the keys that the code makes: texts that begin with a folder and go on with a variable."""
    paths = [*Path("tasks/services").rglob("*.py"), *Path("tasks").glob("*.py")]
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    texts = [node.values[0] for node in nodes if isinstance(node, ast.JoinedStr)]
    heads = [text.value for text in texts if isinstance(text, ast.Constant)]
    return {head.partition("/")[0] for head in heads if re.match(r"[a-z-]+/", head)} | {doctor.FOLDER}


def roles_of(key: str, table: dict[str, set[str]], others: set[str]) -> set[str]:
    return next((roles for prefix, roles in table.items() if key.startswith(prefix)), others)


def test_every_prefix_of_the_code_is_in_the_table():
    assert prefixes_of_the_code() == {key.partition("/")[0] for key in WRITERS}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("key", WRITERS)
def test_key_is_written_read_and_removed_by_the_roles_that_need_it(role: str, key: str):
    how = WRITERS[key].get(role)

    assert is_allowed(role, "PutObject", key) == (how == WRITTEN)
    assert is_allowed(role, "PutObject", key, is_conditional=True) == (how is not None)
    assert is_allowed(role, "DeleteObject", key, is_conditional=True) == (role in roles_of(key, REMOVERS, set()))
    assert is_allowed(role, "GetObject", key) == (role in roles_of(key, READERS, {"trainer"}))


def test_trainer_cannot_write_a_log_whose_key_looks_like_a_versions():
    assert not is_allowed("trainer", "PutObject", "models/m/log/versions/x", is_conditional=True)


def test_policies_grant_nothing_unknown():
    actions = {action for role in ROLES for statement in read_policy(role) for action in statement["Action"]}
    conditions = [s["Condition"] for role in ROLES for s in read_policy(role) if "Condition" in s]

    assert actions == {
        f"s3:{a}" for a in ("ListBucket", "GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload")
    }
    assert conditions == [ONLY_NEW, ONLY_NEW]


@pytest.fixture(scope="module")
def accounts(tmp_path_factory) -> dict[str, Address]:
    """A server of its own with an administrator and the three roles, by the policies as they are.

    SeaweedFS 4.48 does not know s3:if-none-match and grants nothing under it, so the condition is left out there.
    """
    home = tmp_path_factory.mktemp("accounts")
    object_store._keys(home)
    config = json.loads((home / "s3.json").read_text())
    config["policies"] = []
    for role in ROLES:
        keys = {"accessKey": f"{role}-access", "secretKey": f"{role}-secret"}
        config["identities"].append({"name": role, "credentials": [keys], "actions": [], "policyNames": [role]})
        statements = [{k: v for k, v in s.items() if k != "Condition"} for s in read_policy(role)]
        content = json.dumps({"Version": "2012-10-17", "Statement": statements})
        config["policies"].append({"name": role, "content": content})
    (home / "s3.json").write_text(json.dumps(config))
    admin = object_store.open_store(Settings(home=home)).address
    roles = {role: Address(admin.endpoint, admin.bucket, f"{role}-access", f"{role}-secret") for role in ROLES}
    yield {"admin": admin, **roles}
    object_store.stop(Settings(home=home))


@pytest.fixture(scope="module")
def stores(accounts, tmp_path_factory) -> dict[str, Store]:
    return {role: Store(address, tmp_path_factory.mktemp(role)) for role, address in accounts.items()}


def is_done(operation: Any, **arguments: Any) -> bool:
    try:
        operation(Bucket="tunegate", **arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


@pytest.mark.heavy
def test_server_lets_each_account_do_what_its_policy_says(accounts, stores):
    for key in WRITERS:
        stores["admin"].replace(key, b"{}")
    for role in ROLES:
        client = connect(accounts[role])
        for key in WRITERS:
            added = f"{key}-{role}"
            is_written = is_done(client.put_object, Key=added, Body=b"{}", IfNoneMatch="*")
            assert is_written == is_allowed(role, "PutObject", key, is_conditional=True), (role, key)
            assert is_done(client.get_object, Key=key) == is_allowed(role, "GetObject", key), (role, key)
            assert is_done(client.delete_object, Key=added) == is_allowed(role, "DeleteObject", key), (role, key)


@pytest.mark.heavy
def test_trainer_adds_a_version_and_promoter_lets_the_reader_have_it(stores, accounts, tmp_path, monkeypatch):
    trainer, promoter, reader = (stores[role] for role in ROLES)
    large = bytes(range(256)) * 40_000  # goes up in parts
    version = versions.add_version(trainer, make_manifest(trainer, "served", large))
    # As a proposal leaves it.
    trainer.put_bytes(VERDICT)
    with pytest.raises(Exception, match="access was refused"):
        promote(trainer, "served", version)
    with pytest.raises(Exception, match="access was refused"):
        versions.add_version(promoter, make_manifest(promoter, "served", b"untrained"))
    with monkeypatch.context() as patched, leases.sole_holder(stores["admin"], versions.GC_LEASE) as confirm:
        patched.setattr(leases, "SILENCE_SECONDS", 0.1)
        promote(promoter, "served", version)
        with pytest.raises(Conflict, match="another has taken over"):
            confirm()
    with pytest.raises(Exception, match="access was refused"):
        versions.append_event(reader, "served", make_event(read_log(reader, "served"), version))

    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TUNEGATE_S3_ENDPOINT", accounts["reader"].endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader-access")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "reader-secret")
    assert run("pull", "served@champion", tmp_path / "served").exit_code == 0
    assert (tmp_path / "served" / "model.safetensors").read_bytes() == large
    assert run("verify", "served").exit_code == 0
    assert run("history", "served").exit_code == 0
    assert run("export", "served", tmp_path / "out").exit_code == 0
    assert reader.read(blob_key("0" * 64)) is None
