"""What integration tests share: commands in processes of their own, in a bucket and a home that no other run has seen."""

import functools
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

from schemas.records.versions import ModelLog
from tasks.services.cache.records import result_of
from tasks.services.local import object_store
from tasks.services.registry.log import read_log
from tasks.services.registry.versions import list_versions, read_manifest, resolve
from tasks.services.storage.store import Store, blob_key


@dataclass
class Place:
    """A bucket and a home that no other run has seen."""

    store: Store
    environment: dict[str, str]

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *(str(argument) for argument in arguments)],
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object) -> tuple[int, str, str]:
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=900)
        return process.returncode, stdout, stderr

    def run_faulted(self, point: str, *arguments: object) -> tuple[int, str, str]:
        """Run a command in which something happens at a point of `faulted.py`: exit code, stdout and stderr."""
        with tempfile.TemporaryDirectory() as folder:
            request = {
                "point": point,
                "arguments": [str(argument) for argument in arguments],
                "environment": os.environ | self.environment,
                "folder": folder,
            }
            forks = fork_server()
            print(json.dumps(request), file=forks.stdin, flush=True)
            code = int(forks.stdout.readline())
            return code, *(Path(folder, name).read_text() for name in ("stdout", "stderr"))

    def steps_with_a_record(self) -> set[str]:
        return {key.split("/")[1] for key in self.store.list_keys("cache/")}

    def log(self, model: str = "tiny") -> ModelLog:
        return read_log(self.store, model)


@functools.cache
def fork_server() -> Any:
    """The process that forks commands; it ends with this one, whose pipe it reads."""
    program = [sys.executable, "tests/integration/faulted.py"]
    return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def new_place(store: Store, folder: Path) -> Place:
    """A new bucket on the server of `store`, and a home in `folder`."""
    address = replace(store.address, bucket=f"place-{secrets.token_hex(6)}")
    environment = {
        "TUNEGATE_HOME": str(folder / "home"),
        "TUNEGATE_S3_ENDPOINT": address.endpoint,
        "TUNEGATE_BUCKET": address.bucket,
        "AWS_ACCESS_KEY_ID": address.access_key,
        "AWS_SECRET_ACCESS_KEY": address.secret_key,
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "WANDB_MODE": "offline",
    }
    seen = Store(address, folder / "seen")
    seen.create_bucket()
    return Place(seen, environment)


def whole_champion(store: Store, folder: Path, model: str = "tiny") -> str:
    """The champion's version, once every byte of it was fetched anew and checked."""
    version = resolve(store, model, "champion")
    assert version is not None
    reader = Store(store.address, folder / f"reader-{secrets.token_hex(4)}")
    for blob in read_manifest(reader, model, version).files.values():
        reader.fetch(blob)
    shutil.rmtree(reader.local)
    return version


def check_all_is_whole(place: Place, model: str = "tiny") -> None:
    """Blobs are what their names say, records and manifests name blobs that are there, the log is one chain."""
    for key in place.store.list_keys("blobs/"):
        assert hashlib.sha256(place.store.read(key)).hexdigest() == key.rpartition("/")[2]
    for key in place.store.list_keys("cache/"):
        result = result_of(place.store.read(key))
        for digest in digests_of_blobs(result.model_dump()):
            assert place.store.size(blob_key(digest)) is not None
    for version in list_versions(place.store, model):
        for blob in read_manifest(place.store, model, version).files.values():
            assert place.store.holds(blob)
    assert len(place.log(model).events) <= 1


def digests_of_blobs(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["digest"]} if value.keys() >= {"digest", "size_bytes"} else set()
        return own.union(*(digests_of_blobs(item) for item in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(digests_of_blobs(item) for item in value))
    return set()


@pytest.fixture
def place(store: Store, prefect_engine, tmp_path: Path, monkeypatch) -> Iterator[Place]:
    """Where commands of this process go too, while the test runs."""
    made = new_place(store, tmp_path)
    for name, value in made.environment.items():
        if name != "PREFECT_API_URL":
            monkeypatch.setenv(name, value)
    yield made
    object_store.open_store.cache_clear()
