"""Tracking runs reach W&B whole, or are kept. Alone: pytest tests/tasks/services/tracking/test_sync.py.

wandb's own sync, against a server that answers as W&B's does; no account can be had here.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from schemas.errors import Unavailable
from tasks.services.tracking import sync, wandb_runs
from tasks.services.tracking.wandb_runs import TrackingContext, tracking_run
from tests.flows.command import run
from tests.tasks.services.tracking.wandb_file import read_finished_run
from tests.tasks.services.tracking.wandb_server import WandbServer, wandb_server

CLOSED = "http://127.0.0.1:9"
LIVE = """
import sys, time
from pathlib import Path
from tasks.services.tracking.wandb_runs import TrackingContext, tracking_run

with tracking_run(TrackingContext.of_flow_run("tests", "live", Path(sys.argv[1])), "train", {}) as tracker:
    for number in range(3000):
        tracker.log({"loss": 1.0, "text": "x" * 1000})
        print(number, flush=True)
        time.sleep(0.02)
"""

pytestmark = pytest.mark.usefixtures("tracked_offline")


@pytest.fixture
def server(monkeypatch) -> Iterator[WandbServer]:
    with wandb_server() as made:
        # It remembers the server of the first run of a process.
        wandb.teardown()
        monkeypatch.setenv("WANDB_API_KEY", "b" * 40)
        monkeypatch.setenv("WANDB_BASE_URL", made.url)
        monkeypatch.setenv("WANDB_X_GRAPHQL_RETRY_MAX", "1")
        yield made
    wandb.teardown()


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb"))
    return tmp_path


def track(home: Path, step: str, flow_run: str = "flow-1") -> Path:
    """Track a step offline and give its file once all of it is written."""
    with tracking_run(TrackingContext.of_flow_run("tests", flow_run, home), step, {"epochs": 3}) as tracker:
        tracker.log({"loss": 0.5})
        tracker.log({"loss": 0.25})
        tracker.table("errors", ["text"], [["a"]])
        tracker.lineage(step, {"weights": "s3://bucket/blobs/sha256/00/00"})
    (path,) = home.glob(f"wandb/{flow_run}/{step}/wandb/offline-run-*/*.wandb")
    read_finished_run(path)
    return path


def wait_for_unsynced(home: Path) -> Path:
    """Give the one run that is to be sent as soon as W&B's own process has let go of it."""
    deadline = time.monotonic() + 30
    while not (found := sync.find_unsynced(home)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (path,) = found
    return path


def arrived(server: WandbServer, path: Path) -> tuple[object, ...]:
    """What the server has of a run: its step, curve, artifacts and files."""
    name = path.stem.removeprefix("run-")
    losses = [point["loss"] for point in server.history.get(name, []) if "loss" in point]
    artifacts = {made["artifactCollectionName"].removeprefix(f"run-{name}-") for made in server.artifacts}
    files = {upload.rpartition("/")[2].partition("_")[0] for upload in server.uploads}
    return server.runs.get(name, {}).get("jobType"), losses, artifacts, files


WHOLE = (
    "train",
    [0.5, 0.25],
    {"train", "errors"},
    {"errors", "errors.table.json", "manifest", "config.yaml", "wandb-summary.json", "wandb-metadata.json"},
)


def test_run_arrives_whole_and_is_not_sent_again(home: Path, server: WandbServer):
    path = track(home, "train")
    assert sync.find_unsynced(home) == [path]
    sync.sync_run(path)

    assert arrived(server, path) == WHOLE
    assert sync.find_unsynced(home) == []


@pytest.mark.parametrize("refused", ["UpsertBucket", "file_stream", "upload", "CreateArtifact", "CreateRunFiles"])
def test_run_of_which_a_part_was_refused_stays_and_arrives_whole_later(home: Path, server: WandbServer, refused: str):
    path = track(home, "train")
    server.refused = {refused: 400}
    with pytest.raises(Unavailable, match="400"):
        sync.sync_run(path)

    assert sync.find_unsynced(home) == [path]
    server.refused, server.uploads, server.artifacts, server.history = {}, [], [], {}
    sync.sync_run(path)
    assert arrived(server, path) == WHOLE
    assert sync.find_unsynced(home) == []


def test_nothing_is_lost_at_a_closed_port(home: Path, server: WandbServer, monkeypatch):
    path = track(home, "train")
    content = path.read_bytes()
    monkeypatch.setenv("WANDB_BASE_URL", CLOSED)
    with pytest.raises(Unavailable, match="connection refused"):
        sync.sync_run(path)

    assert path.read_bytes() == content
    assert [found.name for found in path.parent.glob("*.synced")] == []
    assert sync.find_unsynced(home) == [path]


def test_run_of_a_live_process_is_left_until_it_has_ended(home: Path, server: WandbServer):
    alone = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    process = subprocess.Popen([sys.executable, "-c", LIVE, str(home)], env=alone, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        # W&B's own process writes whole blocks of 32 KB, and the rest every 15 seconds; what it held when it was killed
        # is lost.
        while not any(path.stat().st_size > sync.HEADER_BYTES for path in home.glob(sync.RUNS)):
            assert process.stdout.readline()
        assert sync.find_unsynced(home) == []
    finally:
        process.kill()
        process.communicate()
    sync.sync_run(wait_for_unsynced(home))

    (points,) = server.history.values()
    assert len(points) >= 10


def test_online_run_that_lost_its_server_is_sent_once_more(home: Path, server: WandbServer, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb_runs, "_is_reachable", True)
    with tracking_run(TrackingContext.of_flow_run("tests", "flow-1", home), "gate", {}) as tracker:
        tracker.log({"loss": 1.0})
    while sync.find_unsynced(home):
        time.sleep(0.1)

    with tracking_run(TrackingContext.of_flow_run("tests", "flow-1", home), "train", {}) as tracker:
        tracker.log({"loss": 0.5})
        server.refused = {"file_stream": 400}
        tracker.log({"loss": 0.25})
    server.refused, server.history = {}, {}
    path = wait_for_unsynced(home)
    sync.sync_run(path)
    assert (path.parent.name[:4], arrived(server, path)[:2]) == ("run-", ("train", [0.5, 0.25]))
    assert sync.find_unsynced(home) == []


def test_attempt_that_found_no_server_is_not_sent_beside_its_offline_run(home: Path, server, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", CLOSED)
    monkeypatch.setattr(wandb_runs, "_is_reachable", True)
    monkeypatch.setattr(wandb_runs, "INIT_SECONDS", 4)
    with tracking_run(TrackingContext.of_flow_run("tests", "flow-1", home), "train", {}) as tracker:
        tracker.log({"loss": 0.5})

    # Both files are closed then.
    wandb.teardown()
    assert len(list(home.glob(sync.RUNS))) == 2
    assert [path.parent.name[:12] for path in sync.find_unsynced(home)] == ["offline-run-"]


def test_command_sends_all_but_what_is_damaged_names_it_and_later_only_what_is_left(home: Path, server: WandbServer):
    train, gate = track(home, "train"), track(home, "gate")
    whole = train.read_bytes()
    train.write_bytes(b"damaged" + whole)
    first = run("sync")

    assert first.exit_code == 5
    assert sync.name_of(train) in first.stderr
    assert f"{sync.name_of(gate)}  sent" in first.stderr
    assert "1 tracking run of 2 not sent" in first.stderr
    assert "Traceback" not in first.stderr
    train.write_bytes(whole)
    listed = run("sync", "--dry-run")
    assert listed.stdout.splitlines()[:-1] == [sync.name_of(train)]
    second = run("sync")
    assert (second.exit_code, second.stdout.split()[0]) == (0, "1")
    assert run("sync").stdout.startswith("0 tracking runs")


def test_command_without_a_key_says_what_to_do_but_lists_what_there_is(home: Path):
    path = track(home, "train")
    refused, listed = run("sync"), run("sync", "--dry-run")

    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "WANDB_API_KEY is not set" in refused.stderr
    assert (listed.exit_code, listed.stdout.splitlines()[0]) == (0, sync.name_of(path))
    assert sync.find_unsynced(home) == [path]


def test_command_stops_at_once_where_no_server_answers(home: Path, server: WandbServer, monkeypatch):
    paths = {track(home, "train"), track(home, "gate")}
    monkeypatch.setenv("WANDB_BASE_URL", CLOSED)
    done = run("sync")

    assert done.exit_code == 5
    assert f"W&B at {CLOSED} did not answer" in done.stderr
    assert "2 tracking runs of 2 still to be sent" in done.stderr
    assert set(sync.find_unsynced(home)) == paths
