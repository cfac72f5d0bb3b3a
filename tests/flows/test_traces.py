"""What a run leaves behind in Prefect and W&B. Alone: pytest tests/flows/test_traces.py."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.services.tracking.wandb_runs import Tracker
from tests.conftest import HOME
from tests.flows.command import last_json, run
from tests.tasks.services.tracking.wandb_file import read_finished_run

STEPS = {"ingest", "validate", "split", "augment", "tokenize", "train", "evaluate", "report", "gate", "load", "promote"}


@pytest.fixture(scope="module")
def outcomes(prefect_engine, tracked_offline, make_module_recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    recipe = make_module_recipe("traces", rows_seed=31)
    return last_json(run("run", recipe, "--json")), last_json(run("run", recipe, "--json"))


def tracking_runs(outcome: dict[str, Any]) -> dict[str, dict[str, Any]]:
    folder = HOME / "wandb" / outcome["tracking_group"]
    return {found["job_type"]: found for found in map(read_finished_run, folder.rglob("*.wandb"))}


def test_every_step_is_a_tracking_run_of_one_group(outcomes):
    runs = tracking_runs(outcomes[0])

    assert set(runs) == STEPS | {"outcome"}
    assert {found["group"] for found in runs.values()} == {outcomes[0]["flow_run_id"]}
    assert {found["exit_code"] for found in runs.values()} == {0}


def test_runs_are_found_by_recipe_and_lead_back_to_the_flow_run(outcomes):
    runs = tracking_runs(outcomes[0]).values()
    name = read_prefect_run(outcomes[0]["flow_run_id"]).name

    assert [found["tags"] for found in runs] == [["recipe:traces"]] * len(runs)
    assert {found["config"]["origin"]["flow run"] for found in runs} == {name}
    page = next(iter(runs))["config"]["origin"]["page"]
    assert page.endswith(f"/v2/runs/flow-run/{outcomes[0]['flow_run_id']}")


def test_outcome_leads_to_the_registry(outcomes, store):
    model = outcomes[0]["model"]
    tracked = tracking_runs(outcomes[0])["outcome"]
    manifest = f"s3://{store.bucket}/models/traces/versions/{model['version']}/manifest.json"

    registry = {"model": "traces", "version": model["version"], "alias": "champion", "manifest": manifest}
    assert tracked["summary"]["registry"] == registry
    assert tracked["artifacts"]["traces"] == {"manifest.json": manifest}
    assert set(tracked["aliases"]["traces"]) == {"latest", "champion", model["version"][:12]}
    assert tracked["alerts"] == []
    assert store.read(manifest.removeprefix(f"s3://{store.bucket}/"))


def test_refusal_is_an_alert_and_its_version_has_no_alias(outcomes, make_module_recipe):
    hopeless = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-7, "evaluations_per_epoch": 1}
    gate = {"at_least": 0.99, "non_inferiority_margin": 0.05}
    recipe = make_module_recipe("traces-refused", rows_seed=31, training=hopeless, gate=gate)
    refused = last_json(run("run", recipe, "--json"))
    tracked = tracking_runs(refused)["outcome"]
    ((level, title, text),) = tracked["alerts"]

    assert refused["outcome"] == "refused"
    assert (level, title) == ("WARN", "traces-refused: refused")
    assert "Nothing was promoted" in text
    assert "misses the floor" in text
    assert set(tracked["aliases"]["traces-refused"]) == {"latest", refused["model"]["version"][:12]}
    assert "alias" not in tracked["summary"]["registry"]


def test_data_that_break_their_contract_are_an_alert(outcomes, make_module_recipe):
    recipe = make_module_recipe("traces-data", rows_seed=31, contract={"rows": {"min": 100_000}})
    ((level, title, text),) = tracking_runs(last_json(run("run", recipe, "--json")))["outcome"]["alerts"]

    assert (level, title) == ("WARN", "traces-data: data-refused")
    assert "rows" in text


class Unanswered:
    @property
    def name(self) -> str:
        raise RuntimeError("no answer of http://name:hidden@host:4200/api")


def test_runs_of_a_deployment_are_found_by_its_name_and_without_an_answer_of_prefect_by_the_recipe(monkeypatch, caplog):
    from flows.chain import origin

    monkeypatch.setattr(origin, "deployment", SimpleNamespace(id="1", name="weekly"))
    monkeypatch.setattr(origin, "flow_run", SimpleNamespace(id="2", name="tweets/full", flow_name="retrain"))
    with temporary_settings({PREFECT_API_URL: "http://name:hidden@host:4200/api"}):
        told = origin._origin("tweets")
        logging.getLogger("flows").propagate = True
        monkeypatch.setattr(origin, "flow_run", Unanswered())
        untold = origin._origin("tweets")

    assert told == {
        "recipe": "tweets",
        "flow run": "tweets/full",
        "page": "http://***@host:4200/v2/runs/flow-run/2",
        "deployment": "retrain/weekly",
    }
    assert untold == {"recipe": "tweets"}
    assert "is unknown to Prefect (no answer of http://***@host:4200/api)" in caplog.text


def test_training_is_tracked_with_its_parameters_curve_and_lineage(outcomes):
    training = tracking_runs(outcomes[0])["train"]

    assert training["config"]["params"]["training"]["learning_rate"] == 0.006
    assert training["config"]["state"] == "ran"
    assert len([point for point in training["history"] if "loss" in point]) > 5
    assert len([point for point in training["history"] if "eval_loss" in point]) == 5
    assert training["artifacts"]["train"]["model.safetensors"].startswith("s3://tunegate/blobs/sha256/")


def test_scores_and_rules_and_errors_are_tracked(outcomes):
    runs = tracking_runs(outcomes[0])
    folder = HOME / "wandb" / outcomes[0]["tracking_group"]
    rules = json.loads(next((folder / "gate").rglob("rules*.table.json")).read_text())
    errors = json.loads(next((folder / "outcome").rglob("errors*.table.json")).read_text())

    assert runs["evaluate"]["summary"]["accuracy"] == outcomes[0]["scores"]["candidate"]["accuracy"]
    assert runs["outcome"]["summary"]["outcome"] == "promoted"
    assert runs["outcome"]["summary"]["cost_kwh"] == outcomes[0]["cost"]["kwh"]
    assert runs["outcome"]["summary"]["version"] == outcomes[0]["model"]["version"]
    assert rules["data"][0][:2] == ["floor", "pass"]
    assert errors["columns"] == ["text", "label", "answer", "probability", "champion"]


def test_cached_step_is_tracked_with_where_its_result_came_from(outcomes):
    first, second = (tracking_runs(outcome)["train"] for outcome in outcomes)

    assert second["config"]["state"] == "cached"
    assert second["config"]["key"] == first["config"]["key"]
    assert second["artifacts"] == first["artifacts"]


def read_prefect_run(flow_run_id: str) -> Any:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run_id)


def read_prefect(flow_run_id: str) -> tuple[dict[str, str], list[Any]]:
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        FlowRunFilter,
        FlowRunFilterId,
    )

    with get_client(sync_client=True) as client:
        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
        states = {
            found.name.rpartition("-")[0]: found.state.name for found in client.read_task_runs(flow_run_filter=of_run)
        }
        filter_ = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        return states, client.read_artifacts(artifact_filter=filter_)


def test_prefect_shows_cached_steps_as_cached(outcomes):
    first, second = (read_prefect(outcome["flow_run_id"])[0] for outcome in outcomes)

    assert set(first) == STEPS
    assert set(first.values()) == {"Completed"}
    assert set(second) == STEPS - {"gate", "report", "load", "promote"}
    assert set(second.values()) == {"Cached"}


def test_prefect_has_the_report_and_its_pictures(outcomes):
    artifacts = {found.key: found for found in read_prefect(outcomes[0]["flow_run_id"])[1]}

    assert "Promoted: the candidate has shown" in artifacts["traces-report"].data
    assert artifacts["traces-learning-curve"].data.startswith("data:image/png;base64,")
    assert artifacts["traces-confusion-candidate"].type == "image"


def test_prefect_leads_to_the_tracking_run_where_it_has_a_page(outcomes, make_module_recipe, monkeypatch):
    before = read_prefect(outcomes[0]["flow_run_id"])[1]
    monkeypatch.setattr(Tracker, "url", "https://wandb.test/a-run")
    again = last_json(run("run", make_module_recipe("traces", rows_seed=31), "--json"))
    after = {found.key: found.data for found in read_prefect(again["flow_run_id"])[1]}

    assert "traces-tracking" not in {found.key for found in before}
    assert "https://wandb.test/a-run" in after["traces-tracking"]


def test_report_lies_where_the_run_says_and_holds_its_pictures(outcomes):
    page = Path(outcomes[0]["report"]).read_text()

    assert page.count("data:image/png;base64,") == 4
    assert outcomes[0]["model"]["version"] in page
