"""What a run cost. Alone: pytest tests/schemas/records/test_steps.py."""

import pytest

from schemas.errors import UsageError
from schemas.records.steps import Cost, StepRecord
from schemas.settings import Settings, read_settings

STEPS = (
    StepRecord(name="tokenize", state="ran", seconds=3600.0, key=None, cpu_seconds=7200.0),
    StepRecord(name="train", state="cached", seconds=50.0, key=None, cpu_seconds=40.0, saved_seconds=900.0),
    StepRecord(name="evaluate", state="failed", seconds=1800.0, key=None, cpu_seconds=0.0, gpu_seconds=1800.0),
    StepRecord(name="load", state="skipped", seconds=0.0, key=None),
)


def test_only_what_was_computed_costs():
    cost = Cost.of(STEPS, Settings(cpu_watts=10, gpu_watts=400, price_per_hour="2.50 EUR"))

    assert (cost.seconds, cost.cpu_seconds, cost.gpu_seconds) == (5400, 7200, 1800)
    assert cost.kwh == pytest.approx(2 * 0.010 + 0.5 * 0.4)
    assert (cost.money, cost.currency) == (pytest.approx(3.75), "EUR")
    assert cost.saved_seconds == 900
    assert cost.sentence == (
        "5,400.0 s of computing (7,200 CPU seconds, 1,800 with a GPU), estimated at 0.22000 kWh, 3.7500 EUR; "
        "the cache saved 900 s of training"
    )


def test_without_a_price_there_is_no_money():
    cost = Cost.of(STEPS[:1], Settings())

    assert (cost.money, cost.currency) == (None, None)
    assert cost.sentence == "3,600.0 s of computing (7,200 CPU seconds), estimated at 0.00700 kWh"


def test_run_in_which_nothing_was_computed_costs_nothing():
    cost = Cost.of([STEPS[1], STEPS[3]], Settings(price_per_hour="2.50 EUR"))

    assert (cost.seconds, cost.kwh, cost.money) == (0, 0, 0)


@pytest.mark.parametrize("price", ["2.50", "EUR 2", "two EUR", "-1 EUR", "2,5 EUR"])
def test_price_that_says_no_currency_is_refused(monkeypatch, price: str):
    monkeypatch.setenv("TUNEGATE_PRICE_PER_HOUR", price)

    with pytest.raises(UsageError, match="TUNEGATE_PRICE_PER_HOUR"):
        read_settings()
