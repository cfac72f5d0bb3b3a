"""The shipped CI files on a throw-away repository: a worse model is red, a better one green, one comment each.

Alone: pytest -m '' tests/integration/test_pull_request.py. The forge is a small server that keeps comments; everything
else is real: git, the commands of the two CI files, the gate.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.settings import Settings
from tasks.services.local.object_store import open_store
from tests.conftest import HOME

ROOT = Path(__file__).parents[2]
BETTER, WORSE = 9, 1
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("store")]


@dataclass
class Forge:
    """Comments of one pull request, by number, and how often somebody wrote."""

    address: str = ""
    comments: dict[int, str] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)


@pytest.fixture
def forge() -> Iterator[Forge]:
    """Takes comments as GitHub and GitLab do, as far as `comment.py` asks."""
    found = Forge()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = "page=1" in self.path.split("&")
            self._answer([{"id": key, "body": body} for key, body in found.comments.items()] if page else [])

        def do_POST(self) -> None:
            found.comments[len(found.comments) + 1] = self._body()
            found.writes.append("POST")
            self._answer({})

        def do_PATCH(self) -> None:
            found.comments[int(self.path.rsplit("/", 1)[1])] = self._body()
            found.writes.append(self.command)
            self._answer({})

        do_PUT = do_PATCH

        def _body(self) -> str:
            return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

        def _answer(self, content: Any) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.address = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()


def github_commands() -> list[str]:
    """What the workflow's steps `Judge` and `Comment` run."""
    workflow = yaml.safe_load((ROOT / "infra/ci/gate-github.yaml").read_text())
    steps = {step.get("name"): step for step in workflow["jobs"]["gate"]["steps"]}
    assert "cancelled()" in steps["Comment"]["if"]
    return [steps["Judge"]["run"], steps["Comment"]["run"]]


def gitlab_commands() -> list[str]:
    job = yaml.safe_load((ROOT / "infra/ci/gate-gitlab.yaml").read_text())["gate"]
    return [*job["script"], *job["after_script"]]


def variables_of(forge: Forge, kind: str) -> dict[str, str]:
    if kind == "github":
        return {"GITHUB_API_URL": forge.address, "GITHUB_REPOSITORY": "team/models", "NUMBER": "7", "GH_TOKEN": "t"}
    return {
        "CI_API_V4_URL": forge.address,
        "CI_PROJECT_ID": "team/models",
        "CI_MERGE_REQUEST_IID": "7",
        "GATE_TOKEN": "t",
    }


@pytest.fixture
def repository(tmp_path: Path, make_recipe: Callable[..., Path]) -> Path:
    """A team's repository: the recipe with its data and the shipped CI files, and a champion in the store."""
    recipe = make_recipe("pulled", rows_seed=97)
    (tmp_path / "infra").symlink_to(ROOT / "infra")
    (tmp_path / "champion.json").write_text(tunegate(tmp_path, "run", recipe.name, "--set", "training.epochs=6"))
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=Start")
    return tmp_path


def tunegate(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "flows", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True).stdout


def environment() -> dict[str, str]:
    binaries = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    address = open_store(Settings()).address
    return os.environ | {
        "PATH": binaries,
        "TUNEGATE_HOME": str(HOME),
        "PYTHONPATH": str(ROOT),
        "TUNEGATE_S3_ENDPOINT": address.endpoint,
        "AWS_ACCESS_KEY_ID": address.access_key or "",
        "AWS_SECRET_ACCESS_KEY": address.secret_key or "",
    }


def git(folder: Path, *arguments: str) -> None:
    name = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    subprocess.run(["git", *name, *arguments], cwd=folder, check=True, capture_output=True)


def propose(repository: Path, branch: str, epochs: int) -> None:
    """A branch that trains longer or shorter."""
    git(repository, "checkout", "--quiet", "-B", branch, "main")
    path = repository / "pulled.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe["training"] |= {"epochs": epochs, "learning_rate": 0.004 if epochs > 1 else 1e-6}
    path.write_text(yaml.safe_dump(recipe))
    git(repository, "commit", "--quiet", "--all", f"--message={branch}")


def check(repository: Path, commands: list[str], variables: dict[str, str]) -> int:
    """Run the first command as the job and the others after it, as a runner does; give the job's exit code."""
    settings = environment() | variables | {"RECIPE": "pulled.yaml", "CANDIDATE": "", "OUT": "gate"}
    job, *after = (
        subprocess.run(["bash", "-ec", command], cwd=repository, env=settings, capture_output=True, text=True)
        for command in commands
    )
    assert [one.returncode for one in after] == [0], after[0].stderr
    return job.returncode


@pytest.mark.parametrize(("kind", "commands"), [("github", github_commands), ("gitlab", gitlab_commands)])
def test_worse_model_blocks_the_merge_and_a_better_one_does_not(
    repository: Path, forge: Forge, kind: str, commands: Callable[[], list[str]]
):
    variables = variables_of(forge, kind)
    propose(repository, "worse", WORSE)
    red = check(repository, commands(), variables)
    (comment,) = forge.comments.values()

    assert red == 1
    assert "**Refused" in comment
    assert "| `floor` | refuse |" in comment
    assert "| `non-inferiority` | refuse |" in comment
    assert "Do not promote this model." in comment

    propose(repository, "better", BETTER)
    green = check(repository, commands(), variables)

    assert green == 0
    assert "**Passed" in forge.comments[1]
    assert "refuse" not in forge.comments[1]
    # The first comment was replaced, not followed by another.
    assert forge.writes == ["POST", "PATCH" if kind == "github" else "PUT"]


def test_gate_without_its_store_is_red(repository: Path):
    """An empty store of its own would have no champion, and nothing to be worse than."""
    settings = environment() | {"RECIPE": "pulled.yaml", "TUNEGATE_S3_ENDPOINT": ""}
    found = subprocess.run(["bash", "infra/ci/gate.sh"], cwd=repository, env=settings, capture_output=True, text=True)

    assert found.returncode == 2
    assert "TUNEGATE_S3_ENDPOINT is not set" in found.stderr


def test_comment_that_cannot_be_posted_is_said(repository: Path, forge: Forge, tmp_path: Path):
    (tmp_path / "gate.md").write_text("<!-- marker -->\ntext\n")
    command = [sys.executable, str(ROOT / "infra/ci/comment.py"), "gate.md"]
    settings = environment() | variables_of(forge, "gitlab")
    missing = {name: value for name, value in settings.items() if name != "GATE_TOKEN"}
    nobody = settings | {"CI_API_V4_URL": "http://127.0.0.1:9"}
    found = [
        subprocess.run(command, cwd=tmp_path, env=one, capture_output=True, text=True) for one in (missing, nobody)
    ]

    assert [one.returncode for one in found] == [1, 1]
    assert "GATE_TOKEN is not set" in found[0].stderr
    assert "the comment was not posted" in found[1].stderr
    assert forge.writes == []
