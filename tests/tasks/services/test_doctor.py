"""A store is tried before it is trusted. Alone: pytest tests/tasks/services/test_doctor.py."""

import pytest

from tasks.services.doctor import FOLDER, examine
from tasks.services.store import Store


def test_embedded_store_keeps_every_promise_and_nothing_is_left(store: Store):
    findings = examine(store)

    assert [finding.is_kept for finding in findings] == [True] * len(findings), findings
    assert store.list_keys(f"{FOLDER}/") == []


class Careless(Store):
    """A store that writes whatever is there, as servers do that ignore conditions."""

    def create(self, key: str, content: bytes) -> bool:
        self.replace(key, content)
        return True


class Forgetful(Store):
    """A store whose lists lag."""

    def list_keys(self, prefix: str) -> list[str]:
        return super().list_keys(prefix)[:-1]


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Careless, {"of several who create an object one wins", "what was created is not created again"}),
        (Forgetful, {"a list shows every write at once, in order"}),
    ],
)
def test_store_that_breaks_a_promise_is_told(store: Store, kind: type[Store], broken: set[str]):
    findings = examine(kind(store.address, store.local))

    assert {finding.promise for finding in findings if not finding.is_kept} == broken
    store.delete(store.list_keys(f"{FOLDER}/"))
