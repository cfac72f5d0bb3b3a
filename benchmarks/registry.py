"""Cost of storing and fetching a model against a bare transfer of the same file, and of promoting it again.

    python -m benchmarks.registry [--megabytes 500] [--repeats 6] [--json]

In turns, each repeat with new bytes: boto3's `upload_file` and one SHA-256 of the file, against a version
stored like a training's (digest, upload, manifest); then boto3's `download_file` and one SHA-256, against `tunegate
pull` into an empty folder by a machine without local copies. The order alternates. The ratio is the median of the
repeats' ratios. Then a version is stored and promoted twice, and the bytes of blobs that the client sends and receives
are counted. The benchmark starts its own server in a temporary folder.
"""

import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from schemas.records.references import RowsRef
from schemas.records.verdict import Verdict
from schemas.records.versions import Base, Manifest
from schemas.settings import Settings
from tasks.promotion import make_event, promote_version
from tasks.services.local import object_store
from tasks.services.registry.log import read_log
from tasks.services.registry.pull import pull_version
from tasks.services.registry.versions import add_version
from tasks.services.storage.s3 import connect
from tasks.services.storage.store import Store, file_digest

GOAL = 1.25
MODEL = "benchmark"
TOLD = ("upload_ratio", "download_ratio", "repromotion_bytes", "repromotion_received_bytes")
VERDICT = Verdict(decision="pass", rules=(), rows=1)
ROWS = RowsRef(digest="0" * 64, size_bytes=1, num_rows=1)
Steps = dict[str, Callable[[], None]]


class Moved(NamedTuple):
    """Bytes of blobs, counted at the client."""

    sent: int
    received: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunegate-benchmark-") as home:
        # The step that promotes finds its store by the environment.
        os.environ["TUNEGATE_HOME"] = home
        settings = Settings()
        try:
            store = object_store.open_store(settings)
            found = [measure(store, Path(home), arguments.megabytes, number) for number in range(arguments.repeats)]
            write_random(Path(home) / "weights", arguments.megabytes)
            first, again = (count_promotion(store, Path(home) / "weights") for _ in range(2))
        finally:
            object_store.stop(settings)
    figures: dict[str, Any] = {name: round(median(times[name] for times in found), 2) for name in found[0]}
    for kind in ("upload", "download"):
        ratios = [times[kind] / times[f"bare_{kind}"] for times in found]
        figures[f"{kind}_ratio"] = round(median(ratios), 3)
        figures[f"{kind}_spread"] = [round(min(ratios), 3), round(max(ratios), 3)]
    figures |= {"promotion_bytes": first.sent, "promotion_received_bytes": first.received}
    figures |= {"repromotion_bytes": again.sent, "repromotion_received_bytes": again.received}
    for name, value in figures.items():
        print(f"{name:26} {value}" + (f"  (goal {GOAL})" if name.endswith("ratio") else ""))
    if arguments.json:
        print(json.dumps({name: figures[name] for name in TOLD}))


def measure(store: Store, home: Path, megabytes: int, number: int) -> dict[str, float]:
    """Seconds of each way for a file of new bytes; the order alternates."""
    path = home / "weights"
    write_random(path, megabytes)
    bare = connect(store.address)
    elsewhere = Store(store.address, home / f"elsewhere-{number}")
    # Whichever client speaks first pays for a connection and boto3's tables; the bare one has uploaded before.
    elsewhere.size("x")
    stored: list[Manifest] = []

    def upload() -> None:
        stored.append(store_version(store, path))

    def bare_upload() -> None:
        bare.upload_file(str(path), store.bucket, "bare")
        file_digest(path)

    def download() -> None:
        pull_version(elsewhere, MODEL, stored[0].version, home / f"served-{number}")

    def bare_download() -> None:
        bare.download_file(store.bucket, "bare", str(home / "bare"))
        file_digest(home / "bare")

    found: dict[str, float] = {}
    steps: Steps = {"upload": upload, "bare_upload": bare_upload, "download": download, "bare_download": bare_download}
    pairs = [("upload", "bare_upload"), ("download", "bare_download")]
    for pair in pairs:
        for name in pair if number % 2 == 0 else reversed(pair):
            os.sync()
            begun = time.perf_counter()
            steps[name]()
            found[name] = time.perf_counter() - begun
    print({name: round(value, 2) for name, value in found.items()}, file=sys.stderr)
    (home / "bare").unlink()
    for folder in (elsewhere.local, *home.glob(".served-*-*")):
        shutil.rmtree(folder)
    return found


def store_version(store: Store, path: Path) -> Manifest:
    """Store a file as a version, like the training step and the chain."""
    (blob,) = store.put_files([path])
    manifest = Manifest(
        model=MODEL,
        files={"model.safetensors": blob},
        base=Base(source="benchmark", digest="0" * 64, licence="none"),
        recipe={},
        data={},
        code="0" * 64,
        environment={},
    )
    add_version(store, manifest)
    return manifest


def count_promotion(store: Store, path: Path) -> Moved:
    """Count the bytes moved when a version is stored and promoted as in a run, which reads every byte back."""
    asked, sent, received = threading.local(), [], []

    def note_sent(request: Any, **_: Any) -> None:
        asked.url = request.url
        if "/blobs/" in request.url:
            sent.append(int(request.headers.get("Content-Length", 0)))

    def note_received(parsed_response: dict[str, Any], **_: Any) -> None:
        if "/blobs/" in asked.url and "Body" in parsed_response:
            received.append(int(parsed_response["ContentLength"]))

    handlers = {"before-send.s3.*": note_sent, "response-received.s3.*": note_received}
    events = [client.meta.events for client in (store._client, store._committer)]
    for each, (name, handler) in product(events, handlers.items()):
        each.register(name, handler)
    manifest = store_version(store, path)
    event = make_event(read_log(store, MODEL), "champion", manifest.version, VERDICT, ROWS)
    promote_version.fn(MODEL, event, VERDICT)
    for each, (name, handler) in product(events, handlers.items()):
        each.unregister(name, handler)
    return Moved(sum(sent), sum(received))


def write_random(path: Path, megabytes: int) -> None:
    """Write new bytes under an old name, as a new file: links to the old one keep its bytes."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(secrets.token_bytes(10**6))


if __name__ == "__main__":
    main()
