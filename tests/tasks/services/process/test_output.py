"""Output whose reader has left. Alone: pytest tests/tasks/services/process/test_output.py."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from tasks.services.process.output import outlive_readers
outlive_readers()
for number in range(20_000):
    print("a line of the output", number, file=sys.{stream})
print("done")
sys.exit(3)
"""


def run(stream: str, **streams: int) -> subprocess.CompletedProcess[bytes]:
    program = PROGRAM.format(stream=stream)
    return subprocess.run([sys.executable, "-c", program], check=False, **streams)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_command_keeps_its_exit_code_when_its_reader_has_left(stream: str):
    reading, writing = os.pipe()
    os.close(reading)
    other = "stderr" if stream == "stdout" else "stdout"
    found = run(stream, **{stream: writing, other: subprocess.PIPE})
    os.close(writing)

    assert found.returncode == 3
    assert getattr(found, other) == (b"" if stream == "stdout" else b"done\n")


def test_nothing_is_lost_while_somebody_reads():
    found = run("stdout", stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    assert len(found.stdout.splitlines()) == 20_001
    assert found.stderr == b""
