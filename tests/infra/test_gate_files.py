"""The gate in CI, run as far as no forge is needed. Alone: pytest tests/infra/test_gate_files.py."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOW: dict[Any, Any] = yaml.safe_load(Path("infra/ci/gate-github.yaml").read_text())
STEPS = WORKFLOW["jobs"]["gate"]["steps"]
COMMENT = Path("infra/ci/comment.py").resolve()


def step(**wanted: str) -> dict[str, Any]:
    (found,) = [one for one in STEPS if all(str(one.get(name, "")).startswith(value) for name, value in wanted.items())]
    return dict(found)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A branch `main`, and upon it a commit of a recipe and one of the docs."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    for name in ("README.md", "recipes/mine.yaml", "docs.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--quiet", f"--message={name}")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    name = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    command = ["git", *name, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    ("base", "code", "output"), [("HEAD~2", 0, "recipes=yes\n"), ("HEAD~1", 0, ""), ("nope", 128, "")]
)
def test_look_for_changes_goes_by_the_base_and_fails_without_it(repository: Path, base: str, code: int, output: str):
    written = repository / "output"
    written.touch()
    environment = os.environ | {"BASE": base, "GITHUB_OUTPUT": str(written)}
    done = subprocess.run(["bash", "-e", "-c", step(id="changed")["run"]], cwd=repository, env=environment, check=False)

    assert done.returncode == code
    assert written.read_text() == output


def test_merge_queue_is_gated_by_its_own_base_and_one_entry_does_not_cancel_another():
    # YAML reads the key `on` as true.
    assert "merge_group" in WORKFLOW[True]
    assert "github.event.merge_group.base_sha ||" in step(id="changed")["env"]["BASE"]
    assert WORKFLOW["concurrency"]["group"] == "gate-${{ github.event.pull_request.number || github.ref }}"


def test_fork_is_refused_in_words_and_not_commented_on():
    fork = step(name="Refuse a fork")
    done = subprocess.run(["bash", "-e", "-c", fork["run"]], capture_output=True, text=True, check=False)

    assert STEPS.index(fork) < STEPS.index(step(name="Judge"))
    assert (done.returncode, "Push this branch to the repository itself" in done.stdout) == (2, True)
    for needed in ("github.event.pull_request.number", "env.FORK == 'false'"):
        assert needed in step(name="Comment")["if"]


def test_second_attempt_replaces_the_artifact_of_the_first():
    assert step(uses="actions/upload-artifact")["with"]["overwrite"] is True


@pytest.mark.parametrize(
    "variables",
    [{"NUMBER": "", "GITHUB_API_URL": "http://127.0.0.1:9"}, {"CI_API_V4_URL": "http://127.0.0.1:9"}],
)
def test_without_a_number_there_is_no_comment_and_no_failure(tmp_path: Path, variables: dict[str, str]):
    (tmp_path / "gate.md").write_text("<!-- marker -->\n")
    done = subprocess.run(
        [sys.executable, str(COMMENT), "gate.md"],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "no pull or merge request here" in done.stdout


def test_comment_of_a_fork_goes_to_the_project_of_the_request(tmp_path: Path):
    """Its pipeline runs in the fork, where another request may have this number."""
    (tmp_path / "gate.md").write_text("<!-- marker -->\n")
    code = (
        "import runpy, sys, urllib.request as u; sys.argv = sys.argv[1:];"
        "u.urlopen = lambda request, **_: sys.exit(request.full_url); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    variables = {
        "CI_API_V4_URL": "http://forge",
        "CI_PROJECT_ID": "9",
        "CI_MERGE_REQUEST_PROJECT_ID": "4",
        "CI_MERGE_REQUEST_IID": "1",
        "GATE_TOKEN": "t",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(COMMENT), "gate.md"],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
    )

    assert "http://forge/projects/4/merge_requests/1/notes" in done.stderr
