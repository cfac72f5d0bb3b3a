"""Exit codes of what no command expects. Alone: pytest tests/flows/commands/test_exit_codes.py."""

import pytest

from tests.flows.command import run


class PanicException(BaseException):
    """As Rust's panics arrive, through pyo3."""


@pytest.mark.parametrize("error", [PanicException("index out of bounds"), SystemExit(1), RuntimeError("ours")])
def test_fault_is_never_the_exit_code_of_a_refusal(monkeypatch, error: BaseException):
    def fail() -> None:
        raise error

    monkeypatch.setattr("tasks.services.local.object_store.current_store", fail)
    result = run("models")

    assert result.exit_code == 70
    assert type(error).__name__ in result.stderr
