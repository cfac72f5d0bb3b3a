"""Run the command line in this process, as a user would see it."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.commands.app import app


@dataclass(frozen=True)
class Result:
    exit_code: int
    stdout: str
    stderr: str


def run(*arguments: str | Path) -> Result:
    """Give the exit code and what was printed; an exception that is no exit passes through."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            app([str(argument) for argument in arguments])
            exit_code = 0
        except SystemExit as ended:
            exit_code = int(ended.code or 0)
    return Result(exit_code, stdout.getvalue(), stderr.getvalue())


def last_json(result: Result) -> Any:
    return json.loads(result.stdout.strip().splitlines()[-1])
