"""Leases, with real processes where one must die. Alone: pytest tests/tasks/services/storage/test_leases.py."""

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import psutil
import pytest

from schemas.errors import Unavailable
from tasks.services.process import identity
from tasks.services.storage import leases
from tasks.services.storage.leases import sole_worker, wait_until_free
from tasks.services.storage.store import Store
from tests.tasks.services.storage.faulty_store import Fault, FaultyStore

HOLD = """
import sys, time
from pathlib import Path
from tasks.services.storage.leases import sole_worker
from tasks.services.storage.s3 import Address
from tasks.services.storage.store import Store
endpoint, bucket, access, secret, path, folder = sys.argv[1:]
store = Store(Address(endpoint, bucket, access, secret), Path(folder))
with sole_worker(store, path, lambda: None):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def path() -> str:
    return f"train/{secrets.token_hex(32)}"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.05)


@pytest.fixture
def holder(store: Store, path: str, tmp_path):
    """Another process that holds the lease until it is killed."""
    address = store.address
    arguments = [address.endpoint, address.bucket, address.access_key, address.secret_key, path, str(tmp_path)]
    with subprocess.Popen([sys.executable, "-c", HOLD, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def work(store: Store, path: str, results: dict[str, str], ran: list[str], seconds: float = 0.2) -> str:
    with sole_worker(store, path, lambda: results.get(path)) as found:
        if found is not None:
            return found
        ran.append(path)
        time.sleep(seconds)
        results[path] = "result"
        return "result"


def test_one_of_many_computes_and_the_others_get_its_result(store: Store, path: str):
    results, ran, given = {}, [], []
    threads = [threading.Thread(target=lambda: given.append(work(store, path, results, ran))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ran == [path]
    assert given == ["result"] * 6


def test_result_that_is_there_needs_no_lease(store: Store, path: str):
    assert work(store, path, {path: "old"}, []) == "old"
    assert store.list_keys(f"leases/{path}/") == []


def test_lease_of_a_failed_worker_is_free_at_once(store: Store, path: str):
    with pytest.raises(ZeroDivisionError), sole_worker(store, path, lambda: None):
        raise ZeroDivisionError
    begun, ran = time.monotonic(), []
    work(store, path, {}, ran, 0)

    assert ran == [path]
    assert time.monotonic() - begun < 2
    assert [key[-15:] for key in store.list_keys(f"leases/{path}/")] == [
        "0000000001.beat", "0000000001.json", "0000000002.beat", "0000000002.json",
    ]  # fmt: skip


def test_stray_objects_beside_a_lease_are_no_leases(store: Store, path: str):
    for stray in ("x.json", "7.json", "old/0000000009.json", "0000000009.json.bak"):
        store.replace(f"leases/{path}/{stray}", b"{}")
    wait_until_free(store, path)
    work(store, path, {}, [], 0)

    assert store.read(f"leases/{path}/0000000001.beat") == leases.RELEASED


def test_lease_is_released_when_the_last_look_fails(store: Store, path: str):
    answers = iter([None, Unavailable("gone")])

    def look_up():
        answer = next(answers)
        if answer is not None:
            raise answer

    with pytest.raises(Unavailable), sole_worker(store, path, look_up):
        pytest.fail("computed after a failed look-up")
    assert store.read(f"leases/{path}/0000000001.beat") == leases.RELEASED


def test_lease_of_a_killed_process_on_this_machine_is_taken_over_at_once(store: Store, path: str, holder):
    holder.kill()
    holder.wait()
    begun, ran = time.monotonic(), []
    work(store, path, {}, ran, 0)

    assert ran == [path]
    assert time.monotonic() - begun < 5


def test_lease_of_a_silent_machine_is_taken_over_after_a_while(store: Store, path: str, holder, monkeypatch):
    monkeypatch.setattr(identity, "_machine", lambda: "another machine")
    monkeypatch.setattr(leases, "SILENCE_SECONDS", 1.0)
    holder.kill()
    begun, ran = time.monotonic(), []
    work(store, path, {}, ran, 0)

    assert ran == [path]
    assert time.monotonic() - begun >= 1


def test_lease_of_a_live_process_is_waited_for(store: Store, path: str, holder):
    results, ran = {}, []
    waiter = threading.Thread(target=work, args=(store, path, results, ran, 0))
    waiter.start()
    waiter.join(1)
    assert waiter.is_alive()
    assert ran == []

    results[path] = "made by the other"
    waiter.join(10)
    assert not waiter.is_alive()
    assert ran == []


def test_number_that_is_created_once_more_ends_no_waiting(store: Store, path: str, monkeypatch):
    """A waiter that saw the first number free goes on when garbage collection has removed it."""
    waits, free_number = [], leases._Watch.free_number
    with ExitStack() as holder:
        for _ in range(2):
            holder.close()
            holder.enter_context(leases.sole_holder(store, path))
        store.delete([f"leases/{path}/0000000001.json"])
        seen = iter([1])
        monkeypatch.setattr(leases._Watch, "free_number", lambda watch: next(seen, None) or free_number(watch))
        monkeypatch.setattr(leases, "_pause", lambda: (waits.append(True), holder.close()))
        wait_until_free(store, path)

    assert waits == [True]


def test_lease_that_beats_is_never_silent(store: Store, path: str, monkeypatch):
    monkeypatch.setattr(identity, "_machine", lambda: "")
    monkeypatch.setattr(leases, "SILENCE_SECONDS", 0.8)
    results, ran = {}, []
    threads = [threading.Thread(target=work, args=(store, path, results, ran, 3)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ran == [path]


def test_worker_that_cannot_beat_goes_on_and_says_so_once(store: Store, path: str, tmp_path, caplog):
    faulty = FaultyStore(store, tmp_path)
    faulty.faults.append(Fault("PutObject", "refused", key=r"\.beat", times=3))
    with sole_worker(faulty, path, lambda: None):
        while "answers again" not in caplog.text:
            time.sleep(0.05)

    assert len([operation for operation, key in faulty.requests if ".beat" in key]) >= 4
    assert caplog.text.count("could not be renewed") == 1


def test_slow_beats_do_not_slow_the_work(store: Store, path: str, tmp_path):
    faulty = FaultyStore(store, tmp_path)
    faulty.faults.append(Fault("PutObject", "slow", key=r"\.beat", times=2, seconds=1.0))
    begun = time.monotonic()
    with sole_worker(faulty, path, lambda: None):
        time.sleep(0.2)
        worked = time.monotonic() - begun

    assert faulty.faults[0].times < 2
    assert worked < 1


def test_store_that_does_not_answer_is_an_error_and_no_permission_to_compute(store: Store, path: str, tmp_path):
    faulty = FaultyStore(store, tmp_path)
    faulty.faults.append(Fault("ListObjectsV2", "error", times=99))

    with pytest.raises(Unavailable), sole_worker(faulty, path, lambda: None):
        pytest.fail("computed without a lease")


def test_holder_says_who_it_is(store: Store, path: str):
    with sole_worker(store, path, lambda: None):
        holder = json.loads(store.read(f"leases/{path}/0000000001.json"))

    assert holder["process"]["pid"] == os.getpid()
    assert holder["process"]["started"] == pytest.approx(psutil.Process().create_time())
