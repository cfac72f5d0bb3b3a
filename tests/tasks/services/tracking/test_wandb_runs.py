"""What W&B is told, read back from its files. Alone: pytest tests/tasks/services/tracking/test_wandb_runs.py."""

import json
import logging
import os
import time
from pathlib import Path

import pytest

from tasks.services.tracking import wandb_runs
from tasks.services.tracking.wandb_runs import TrackingContext, current_tracker, tracking_run
from tests.tasks.services.tracking.wandb_file import read_finished_run

pytestmark = pytest.mark.usefixtures("tracked_offline")


@pytest.fixture
def context(tmp_path: Path) -> TrackingContext:
    return TrackingContext(project="tests", group="group-1", folder=tmp_path)


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.wandb"))


def test_config_curves_summary_table_and_lineage_are_written(context: TrackingContext):
    with tracking_run(context, "train", {"epochs": 3}) as tracker:
        current_tracker().log({"loss": 0.5})
        tracker.log({"loss": 0.25})
        tracker.summarize({"accuracy": 0.9})
        tracker.table("errors", ["text", "label"], [["a", "b"]])
        tracker.lineage("train", {"weights": "s3://bucket/blobs/sha256/00/00"})

    run = read_finished_run(files_of(context.folder)[0])
    table = next((context.folder / "train").rglob("*.table.json"))
    assert (run["group"], run["job_type"], run["project"]) == ("group-1", "train", "tests")
    assert run["config"]["epochs"] == 3
    assert [point["loss"] for point in run["history"] if "loss" in point] == [0.5, 0.25]
    assert run["summary"]["accuracy"] == 0.9
    assert run["artifacts"]["train"] == {"weights": "s3://bucket/blobs/sha256/00/00"}
    assert json.loads(table.read_text())["data"] == [["a", "b"]]
    assert run["exit_code"] == 0


def test_runs_have_tags_origin_version_and_warning(tmp_path: Path):
    origin = {"recipe": "r" * 80, "deployment": "retrain/weekly", "page": "http://127.0.0.1/v2/runs/flow-run/1"}
    context = TrackingContext.of_flow_run("tests", "flow-1", tmp_path, origin)
    with tracking_run(context, "outcome", {}) as tracker:
        tracker.link_version("tiny", "s3://bucket/models/tiny/versions/1/manifest.json", ["champion", "1"])
        tracker.warn("t" * 100, "Refused.")

    run = read_finished_run(files_of(context.folder)[0])
    assert run["tags"] == ["deployment:retrain/weekly", f"recipe:{'r' * 57}"]
    assert run["config"]["origin"] == origin
    assert run["artifacts"]["tiny"] == {"manifest.json": "s3://bucket/models/tiny/versions/1/manifest.json"}
    assert set(run["aliases"]["tiny"]) == {"latest", "champion", "1"}
    assert run["alerts"] == [("WARN", "t" * 63, "Refused.")]


EXPORTED = {
    "WANDB_RUN_ID": "exported",
    "WANDB_RUN_GROUP": "exported",
    "WANDB_RESUME": "must",
    "WANDB_RESUME_FROM": "exported?_step=3",
    "WANDB_FORK_FROM": "exported?_step=3",
    "WANDB_NAME": "exported",
    "WANDB_JOB_TYPE": "exported",
    "WANDB_SWEEP_ID": "exported",
    "WANDB_SWEEP_PARAM_PATH": "/no/such/file",
    "WANDB_LAUNCH": "true",
    "WANDB_CONFIG": '{"epochs": 99}',
    # Of a training job of SageMaker, by which W&B sets id and group.
    "TRAINING_JOB_NAME": "exported",
}


def test_each_step_is_a_run_of_its_own_whatever_identity_is_exported(context: TrackingContext, monkeypatch):
    import wandb

    for name, value in EXPORTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SM_TRAINING_ENV", "{}")
    # As in a process whose first run this is.
    wandb.teardown()
    for step in ("ingest", "train"):
        with tracking_run(context, step, {"epochs": 3}):
            pass

    runs = [read_finished_run(path) for path in files_of(context.folder)]
    assert "exported" not in repr(runs)
    assert len({run["id"] for run in runs}) == 2
    assert {(run["group"], run["job_type"], run["sweep"]) for run in runs} == {
        ("group-1", "ingest", ""),
        ("group-1", "train", ""),
    }
    assert [run["config"]["epochs"] for run in runs] == [3, 3]
    # They are others' business again.
    assert {name: os.environ[name] for name in EXPORTED} == EXPORTED


def test_folder_that_cannot_be_made_is_a_warning_too(context: TrackingContext, caplog):
    logging.getLogger("tasks").propagate = True
    (context.folder / "train").touch()
    with tracking_run(context, "train", {}):
        pass

    assert "is not tracked" in caplog.text


def test_what_is_switched_off_writes_nothing_and_keeps_what_was_said(context: TrackingContext, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with tracking_run(context, "train", {}) as tracker:
        tracker.summarize({"resumed_from_step": 3})
        tracker.table("errors", ["text"], [["a"]])

    assert (tracker.summary, tracker.url) == ({"resumed_from_step": 3}, None)
    assert not list(context.folder.iterdir())


def test_step_that_fails_ends_its_run_with_a_failure(context: TrackingContext):
    with pytest.raises(KeyError), tracking_run(context, "train", {}):
        raise KeyError("x")

    assert read_finished_run(files_of(context.folder)[0])["exit_code"] == 1


def test_tracker_has_no_effect_outside_a_run(context: TrackingContext):
    with tracking_run(context, "train", {}) as tracker:
        assert current_tracker() is tracker
    current_tracker().summarize({"said": "outside"})

    assert "said" not in tracker.summary
    assert current_tracker().summary == {}


def test_unreachable_server_costs_one_warning_and_the_rest_is_offline(context: TrackingContext, monkeypatch, caplog):
    logging.getLogger("tasks").propagate = True
    monkeypatch.setattr(wandb_runs, "_is_reachable", True)
    monkeypatch.setattr(wandb_runs, "INIT_SECONDS", 6)
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")

    begun = time.monotonic()
    for step in ("one", "two", "three"):
        with tracking_run(context, step, {}) as tracker:
            tracker.log({"x": 1.0})

    assert time.monotonic() - begun < 60
    # After whole runs in the same process a record arrives more than once.
    (warned,) = {
        record.getMessage() for record in caplog.records if record.name == "tasks.services.tracking.wandb_runs"
    }
    assert "tracking is offline from now on" in warned
    offline = [path for path in files_of(context.folder) if path.parent.name.startswith("offline-run-")]
    assert {read_finished_run(path)["job_type"] for path in offline} == {"one", "two", "three"}
    assert "a" * 40 not in caplog.text


def test_wandb_that_breaks_in_the_middle_is_one_warning_and_the_step_goes_on(
    context: TrackingContext, monkeypatch, caplog
):
    def fail(*_: object) -> None:
        raise ConnectionResetError("core died")

    logging.getLogger("tasks").propagate = True
    with tracking_run(context, "train", {}) as tracker:
        monkeypatch.setattr(tracker._run, "log", fail)
        for _ in range(3):
            tracker.log({"loss": 1.0})

    assert [record.message for record in caplog.records if "core died" in record.message] == [
        "W&B failed (ConnectionResetError: core died): the rest of this step is not tracked."
    ]


def test_folder_that_cannot_be_written_is_a_warning(context: TrackingContext, monkeypatch, caplog):
    import wandb

    logging.getLogger("tasks").propagate = True

    def fail(**_):
        raise wandb.Error("disk full")

    monkeypatch.setattr(wandb, "init", fail)
    with tracking_run(context, "train", {}) as tracker:
        tracker.log({"loss": 1.0})

    assert "is not tracked" in caplog.text
