"""A process that promotes again and again, for as long as it is told to, against others that do the same."""

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.errors import Conflict
from schemas.frozen import digest_of
from schemas.records.references import Blob
from schemas.records.versions import Event, Manifest, ModelLog
from tasks.services.registry import versions
from tasks.services.registry.log import read_log
from tasks.services.storage.s3 import Address
from tasks.services.storage.store import Store
from tests.tasks.services.registry.test_versions import make_event, make_manifest

FILES = 3


def overwrite(self: Store, key: str, content: bytes) -> bool:
    """What `Store.create` must not be."""
    self.replace(key, content)
    return True


def race(address: Address, model: str, folder: Path, line: Any, seconds: float, create: Callable[..., bool]) -> None:
    """Promote versions of its own until the time is over; leaves what it won in `folder`/won.json.

    Args:
        address: The store.
        model: What all racers promote.
        folder: Of this racer alone.
        line: Where racers wait for each other.
        seconds: How long.
        create: Put in place of `Store.create`.
    """
    Store.create = create
    store = Store(address, folder / "blobs")
    won: dict[int, str] = {}
    lost = 0
    line.wait()
    end = time.monotonic() + seconds
    version = add_version(store, model)
    while time.monotonic() < end:
        event = judge(read_log(store, model), version)
        try:
            versions.append_event(store, model, event)
        except Conflict:
            # As the chain does: read the log again, judge against the new champion.
            lost += 1
            continue
        won[event.sequence] = event.nonce
        version = add_version(store, model)
    (folder / "won.json").write_text(json.dumps({"won": won, "lost": lost}))


def add_version(store: Store, model: str) -> str:
    manifest: Manifest = make_manifest(store, model, secrets.token_bytes(2_000))
    files: dict[str, Blob] = {f"part-{number}": store.put_bytes(secrets.token_bytes(500)) for number in range(FILES)}
    return versions.add_version(store, manifest.model_copy(update={"files": manifest.files | files}))


def judge(log: ModelLog, version: str) -> Event:
    """A stand-in for the gate: the verdict is of this candidate against the champion of the log that was read."""
    event: Event = make_event(log, version)
    return event.model_copy(update={"gate_sha256": gate_of(version, log.aliases.get(event.alias))})


def gate_of(version: str, champion: str | None) -> str:
    return digest_of({"candidate": version, "against": champion})
