"""A run's trainings on two workers of one machine. Alone: pytest -m slow tests/integration/test_sharing.py"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun

from tests.integration.stack import Stack, local_stack, run_deployment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SEEDS = (21, 22, 23, 24)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Stack]:
    with local_stack(tmp_path_factory.mktemp("stack"), tiny_model, TUNEGATE_TRAINERS="1") as made:
        yield made


def trained_by(client: SyncPrefectClient, run: FlowRun) -> list[str]:
    """The trainings that a run did itself, by its log."""
    ours = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    lines = [line.message.split() for line in client.read_logs(ours, limit=200)]
    return [words[0] for words in lines if words[0].startswith("train-seed-") and words[1:2] == ["ran,"]]


def test_seeds_are_trained_by_two_workers_each_once(stack: Stack):
    recipe = yaml.safe_load((stack.folder / "recipes" / "tweets" / "full.yaml").read_text())
    # Long enough for a process to start meanwhile.
    recipe["training"] |= {"seeds": list(SEEDS), "epochs": 200}
    with stack.client() as client:
        request = {"recipe": "tweets/full", "whole_recipe": yaml.safe_dump(recipe)}
        done = run_deployment(client, "retrain/weekly", seconds=480, request=request)
        number = client.read_deployment_by_name("train/train").id
        shared = [run for run in client.read_flow_runs() if run.deployment_id == number]
        here, elsewhere = trained_by(client, done), [step for run in shared for step in trained_by(client, run)]

    print(f"\n{len(elsewhere)} of {len(SEEDS)} trainings by the other worker")
    assert done.state.name == "Promoted", done.state.message
    assert sorted(here + elsewhere) == [f"train-seed-{seed}" for seed in SEEDS]
    assert elsewhere
    assert len(shared) == len(SEEDS) - 1
    assert all(run.state.is_final() for run in shared), [run.state for run in shared]
