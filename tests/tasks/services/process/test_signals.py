"""SIGTERM and SIGINT, raised and deferred. Alone: pytest tests/tasks/services/process/test_signals.py."""

import contextlib
import os
import signal
import threading

import pytest

from schemas.errors import Preempted
from tasks.services.process.signals import SIGNALS, raise_on_signals, deferred_signals, raise_if_signalled


class Received(Exception):
    pass


@pytest.fixture(autouse=True)
def handler():
    """The handler from before, which raises."""

    def receive(number: int, _: object) -> None:
        raise Received(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}
    yield receive
    raise_on_signals()
    for number, found in before.items():
        signal.signal(number, found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_is_deferred_until_delivered(number: int, handler):
    saved = False
    with pytest.raises(Received), deferred_signals() as signals:
        os.kill(os.getpid(), number)
        assert signals.is_pending()
        saved = True
        signals.deliver()
        pytest.fail("went on")
    assert saved
    assert signal.getsignal(number) is handler


def test_second_signal_acts_at_once():
    with pytest.raises(Received), deferred_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")


def test_undelivered_signal_is_not_lost_when_the_body_ends():
    with pytest.raises(Received), deferred_signals():
        os.kill(os.getpid(), signal.SIGTERM)


def test_signal_is_not_lost_when_the_body_fails():
    with pytest.raises(Received), deferred_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ConnectionError


def test_body_without_a_signal_restores_the_handler(handler):
    with deferred_signals() as signals:
        assert not signals.is_pending()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferred_signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert not signals.is_pending()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_in_another_thread_nothing_is_deferred():
    found: list[bool] = []

    def work() -> None:
        with deferred_signals() as signals:
            found.append(signals.is_pending())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert found == [False]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_passes_through_code_that_suppresses_exceptions(number: int):
    raise_on_signals()
    with pytest.raises(Preempted, match="Run the same command again"), contextlib.suppress(Exception):
        os.kill(os.getpid(), number)


def test_background_command_still_ignores_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_on_signals()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_signal_that_is_swallowed_in_a_finalizer_is_raised_again():
    class Finalized:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    raise_on_signals()
    raise_if_signalled()
    Finalized()
    with pytest.raises(Preempted):
        raise_if_signalled()
    with pytest.raises(Preempted), deferred_signals():
        pytest.fail("went on")
    raise_on_signals()
    raise_if_signalled()
