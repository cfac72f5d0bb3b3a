"""Signals to end, and how they wait until the work is saved. Alone: pytest tests/tasks/services/process/test_signals.py."""

import contextlib
import os
import signal
import threading

import pytest

from schemas.errors import Preempted
from tasks.services.process.signals import SIGNALS, end_when_told, postponed_stop, raise_if_told


class Told(Exception):
    pass


@pytest.fixture(autouse=True)
def handler():
    """What a signal does outside: raise."""

    def tell(number: int, _: object) -> None:
        raise Told(number)

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    yield tell
    end_when_told()
    for number, found in before.items():
        signal.signal(number, found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_waits_until_the_body_obeys(number: int, handler):
    saved = False
    with pytest.raises(Told), postponed_stop() as stop:
        os.kill(os.getpid(), number)
        assert stop.is_asked()
        saved = True
        stop.obey()
        pytest.fail("went on")
    assert saved
    assert signal.getsignal(number) is handler


def test_second_signal_acts_at_once():
    with pytest.raises(Told), postponed_stop():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")


def test_signal_that_nobody_obeyed_is_not_lost_when_the_body_ends():
    with pytest.raises(Told), postponed_stop():
        os.kill(os.getpid(), signal.SIGTERM)


def test_signal_is_not_lost_when_the_body_fails():
    with pytest.raises(Told), postponed_stop():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ConnectionError


def test_body_without_a_signal_ends_as_it_would(handler):
    with postponed_stop() as stop:
        assert not stop.is_asked()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with postponed_stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert not stop.is_asked()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_in_another_thread_nothing_is_held_back():
    found: list[bool] = []

    def work() -> None:
        with postponed_stop() as stop:
            found.append(stop.is_asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert found == [False]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_passes_through_what_goes_on_after_any_exception(number: int):
    end_when_told()
    with pytest.raises(Preempted, match="Run the same command again"), contextlib.suppress(Exception):
        os.kill(os.getpid(), number)


def test_command_in_the_background_ignores_ctrl_c_as_it_did():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_when_told()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_signal_that_is_swallowed_in_a_finalizer_is_raised_again():
    class Finalized:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    end_when_told()
    raise_if_told()
    Finalized()
    with pytest.raises(Preempted):
        raise_if_told()
    with pytest.raises(Preempted), postponed_stop():
        pytest.fail("went on")
    end_when_told()
    raise_if_told()
