"""A model in a process of its own that fails there. Alone: pytest tests/tasks/methods/models/test_isolated.py."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from schemas.errors import Corrupt, RecipeError
from schemas.recipe.problem import TextClassification
from tasks.methods.models import isolated
from tasks.methods.models.isolated import answer_apart
from tests.integration.stack import until

pytestmark = pytest.mark.usefixtures("forked_models")
PROBLEM = TextClassification(labels=("LABEL_0", "LABEL_1"))


def refuse() -> None:
    raise RecipeError("it has other labels")


@pytest.mark.parametrize(
    ("file", "content", "cause"),
    [("model.safetensors", b"garbage", "SafetensorError: "), ("config.json", b"{", "OSError: ")],
)
def test_files_that_are_no_model_are_told_with_the_cause(tiny_model, tmp_path, file: str, content: bytes, cause: str):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / file).write_bytes(content)

    with pytest.raises(Corrupt, match=f"^tweets@1 does not load in an isolated process: {cause}"):
        answer_apart("tweets@1", folder, None, PROBLEM)


def test_process_that_was_killed_is_told():
    with pytest.raises(Corrupt, match="tweets@1 does not load .*killed, perhaps out of memory"):
        isolated.run_isolated("tweets@1", os.abort)


def test_refusal_of_the_model_stays_what_it_is():
    with pytest.raises(RecipeError, match="^it has other labels$"):
        isolated.run_isolated("tweets@1", refuse)


def test_interrupted_waiting_ends_the_process_that_was_waited_for():
    before = signal.signal(signal.SIGUSR1, _interrupt)
    threading.Timer(3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1)).start()
    begun = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            isolated.run_isolated("tweets@1", time.sleep, 120)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert time.monotonic() - begun < 30


ASKING = """
import sys, time
from tasks.methods.models import isolated

def show(started):
    import os
    open(started, "w").write(str(os.getpid()))
    time.sleep(120)

if __name__ == "__main__":
    isolated.START = sys.argv[1]
    isolated.run_isolated("tweets@1", show, sys.argv[2])
"""


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_killed_asker_takes_the_process_with_it(tmp_path, start: str):
    script, started = tmp_path / "asking.py", tmp_path / "started"
    script.write_text(ASKING)
    with subprocess.Popen([sys.executable, script, start, started], env=os.environ | {"PYTHONPATH": "."}) as asker:
        until(lambda: started.exists() and started.read_text())
        answering = psutil.Process(int(started.read_text()))
        asker.kill()
    try:
        gone, _ = psutil.wait_procs([answering], 10)
        assert gone == [answering]
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            answering.kill()


def _interrupt(*_: object) -> None:
    raise TimeoutError
