"""The demo, killed again and again on its way. Alone: pytest tests/integration/test_demo.py -m slow -s"""

import json
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import Place, check_all_is_whole, new_place
from tests.integration.faulted import KILLS

DEMO = Path("recipes/tweets/full.yaml")
# In the order in which a run meets them: each run goes on where the one before was killed.
POINTS = (
    "half of an upload sent",
    "ingest: between blobs and record",
    "between ingest and validate",
    "inside tokenize",
    "checkpoint: between files and manifest",
    "training, after the second checkpoint",
    "between two files of the model",
    "train: between blobs and record",
    "inside evaluate",
    "promotion: before its event",
    "promotion: event written",
)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_demo_that_was_killed_at_many_points_makes_the_version_of_an_undisturbed_one(store, place, tmp_path, capsys):
    resumed: list[int] = []
    begun: set[str] = set()
    for point in POINTS:
        assert point in KILLS
        finished = place.steps_with_a_record()
        code, _, stderr = place.run_faulted(point, "run", DEMO)
        assert code == -signal.SIGKILL, (point, stderr)
        begun |= steps_begun(stderr)
        assert steps_begun(stderr).isdisjoint(finished), (point, stderr)
        check_all_is_whole(place, "tweet-sentiment")
        resumed += [
            int(line.rpartition(" ")[2]) for line in stderr.splitlines() if "goes on from the checkpoint" in line
        ]
        with capsys.disabled():
            print(f"{point:42} killed; records: {', '.join(sorted(place.steps_with_a_record()))}", flush=True)
    found = last_outcome(place)
    straight = last_outcome(new_place(store, tmp_path / "elsewhere"))
    with capsys.disabled():
        print(
            f"then {found['outcome']}: {found['model']['version'][:12]}; undisturbed: {straight['model']['version'][:12]}"
        )

    assert resumed
    assert {"ingest", "train", "evaluate"} <= begun
    assert found["model"] == straight["model"]
    assert {step["state"] for step in found["steps"]} <= {"cached", "unchanged"}
    assert [event.to_version for event in place.log("tweet-sentiment").events] == [straight["model"]["version"]]


def steps_begun(stderr: str) -> set[str]:
    """The steps that were computed, as a run's log tells them: `10:27:30  train  ...`."""
    lines = [line.split() for line in stderr.splitlines()]
    return {words[1] for words in lines if len(words) == 3 and words[2] == "..."}


def last_outcome(place: Place) -> dict:
    code, stdout, stderr = place.run("-m", "flows", "run", DEMO, "--json")
    assert code == 0, stderr
    return json.loads(stdout.strip().splitlines()[-1])
