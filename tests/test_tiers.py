"""What keeps unit tests and `make test` quick. Alone: pytest tests/test_tiers.py."""

import ast
import time
from pathlib import Path

import pytest

from schemas.settings import Settings
from tasks.methods.training.trainer import OrderedTrainer
from tasks.services.local.object_store import open_store
from tests import prefect_server, tiers

REFUSED = pytest.raises(pytest.fail.Exception, match="starts no server and no training")


def test_unit_test_starts_no_object_store(request, tmp_path: Path):
    assert request.node.get_closest_marker("unit")
    with REFUSED:
        open_store(Settings(home=tmp_path))


def test_unit_test_starts_no_prefect_server(tmp_path: Path):
    with REFUSED:
        prefect_server.reach(tmp_path)


def test_unit_test_trains_nothing():
    with REFUSED:
        OrderedTrainer.train(None)


@pytest.mark.heavy
def test_test_that_says_that_it_is_heavy_is_no_unit_test(request):
    assert request.node.get_closest_marker("unit") is None


def test_test_that_asks_for_a_server_is_no_unit_test(request, store):
    assert request.node.get_closest_marker("unit") is None


def test_quick_test_takes_five_seconds_unless_its_reason_is_on_the_list(monkeypatch):
    monkeypatch.setitem(tiers.LONGER, "tests/test_a.py::test_b", "it waits")

    assert not tiers.is_too_long("tests/test_a.py::test_other", tiers.LIMIT_SECONDS - 0.1)
    assert tiers.is_too_long("tests/test_a.py::test_other", tiers.LIMIT_SECONDS + 0.1)
    assert not tiers.is_too_long("tests/test_a.py::test_b[1-2]", 600)


def test_file_of_tests_may_be_on_the_list(monkeypatch):
    monkeypatch.setitem(tiers.LONGER, "tests/test_a.py", "it waits")

    assert not tiers.is_too_long("tests/test_a.py::test_b[1-2]", 600)
    assert tiers.is_too_long("tests/test_ab.py::test_b", 600)


def test_too_slow_test_is_remembered_until_it_is_quick_again(tmp_path: Path):
    path, seen = tmp_path / "test", []
    for is_too_long in (True, False, True, True, False):
        was_too_long = path.exists()
        tiers.remember(path, was_too_long, is_too_long)
        seen.append(was_too_long and path.exists())

    assert seen == [False, False, False, True, False]
    assert not path.exists()


@pytest.mark.skipif(tiers.PRESSURE is None, reason="This system does not say for how long processors were wanted.")
def test_time_without_a_processor_is_no_more_than_all_time():
    begun, before = time.monotonic(), tiers._seconds_of_contention()
    time.sleep(0.1)

    assert 0 <= tiers._seconds_of_contention() - before <= time.monotonic() - begun + 0.05


def test_tests_on_the_list_are_there_and_have_a_reason():
    for test, reason in tiers.LONGER.items():
        path, _, name = test.partition("::")
        tree = ast.parse(Path(path).read_text())
        assert not name or name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, test
        assert len(reason.split()) > 2, test
