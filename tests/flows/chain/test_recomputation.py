"""Results that a run uses again, and those that it computes again. Alone: pytest tests/flows/chain/test_recomputation.py."""

from types import SimpleNamespace
from typing import Any

import pytest

from flows.chain import recomputation
from flows.chain.recomputation import Own, Recomputation
from schemas.records.references import RowsRef, SourcesRef
from tasks.services.cache.records import RecordJSON
from tasks.splitting import split_rows
from tasks.validation import validate_rows


def make_rows(digit: str) -> RowsRef:
    return RowsRef(digest=digit * 64, size_bytes=1, num_rows=1)


TRUE, FORGED, OTHER = make_rows("1"), make_rows("2"), make_rows("3")
SOURCES = SourcesRef.of(train=TRUE, test=TRUE)


@pytest.fixture
def records(monkeypatch) -> dict[str, RowsRef]:
    """Records by step, in place of the store's."""
    found: dict[str, RowsRef] = {}
    monkeypatch.setattr(recomputation, "key_of", lambda step, _: SimpleNamespace(path=step.name))
    monkeypatch.setattr(
        recomputation, "look_up", lambda path: RecordJSON().dumps(found[path]) if path in found else None
    )
    monkeypatch.setattr(recomputation, "result_of", lambda record: RecordJSON().loads(record))
    return found


class Computer:
    """Computation of every step with the result TRUE, and the names of those that ran."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str, step: Any, **arguments: Any) -> RowsRef:
        self.names.append(name)
        return TRUE


def test_result_of_the_run_itself_is_not_computed_again(records):
    compute = Computer()
    again = Recomputation(compute, [Own(validate_rows, {"sources": SOURCES}, OTHER)])

    assert again.call("validate", validate_rows, sources=SOURCES) == OTHER
    assert compute.names == []


def test_own_result_for_other_content_under_the_same_digest_is_computed_again(records):
    forged = SOURCES.model_copy(update={"test": FORGED})
    compute = Computer()
    again = Recomputation(compute, [Own(validate_rows, {"sources": forged}, OTHER)])

    assert forged.digest == SOURCES.digest
    assert again.call("validate", validate_rows, sources=SOURCES) == TRUE
    assert compute.names == ["validate-again"]


def test_record_is_not_used_and_named_where_it_differs(records):
    records |= {"validate": FORGED, "split": TRUE}
    again = Recomputation(Computer(), [])

    assert again.call("validate", validate_rows, sources=SOURCES) == TRUE
    assert again.call("split", split_rows, rows=TRUE) == TRUE
    assert again.differing == ["cache/validate.json"]


def test_step_is_computed_again_once(records):
    compute = Computer()
    again = Recomputation(compute, [])
    for _ in range(2):
        again.call("split", split_rows, rows=TRUE)

    assert compute.names == ["split-again"]
