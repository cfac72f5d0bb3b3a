"""Records of a flow run's steps, and their cost."""

from collections.abc import Iterable
from typing import Literal, Self

from schemas.frozen import Frozen
from schemas.settings import Settings

StepState = Literal["ran", "cached", "unchanged", "skipped", "failed", "interrupted"]
COMPUTED: tuple[StepState, ...] = ("ran", "failed", "interrupted")
HOUR, KILO = 3600, 1000


class StepRecord(Frozen):
    name: str
    state: StepState
    seconds: float
    key: str | None
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    saved_seconds: float = 0.0
    """Seconds of a cached training; other steps do not record theirs."""


class Cost(Frozen):
    """Cost of the steps computed in this run; cached ones count only as savings."""

    seconds: float
    cpu_seconds: float
    gpu_seconds: float
    saved_seconds: float
    kwh: float
    money: float | None
    currency: str | None

    @classmethod
    def of(cls, steps: Iterable[StepRecord], settings: Settings) -> Self:
        known = tuple(steps)
        done = [step for step in known if step.state in COMPUTED]
        seconds, cpu = sum(step.seconds for step in done), sum(step.cpu_seconds for step in done)
        gpu = sum(step.gpu_seconds for step in done)
        price, currency = settings.price
        return cls(
            seconds=seconds,
            cpu_seconds=cpu,
            gpu_seconds=gpu,
            saved_seconds=sum(step.saved_seconds for step in known),
            kwh=(cpu * settings.cpu_watts + gpu * settings.gpu_watts) / HOUR / KILO,
            money=None if price is None else seconds / HOUR * price,
            currency=currency,
        )

    @property
    def sentence(self) -> str:
        gpu = f", {self.gpu_seconds:,.0f} with a GPU" if self.gpu_seconds else ""
        money = "" if self.money is None else f", {self.money:.4f} {self.currency}"
        saved = f"; the cache saved {self.saved_seconds:,.0f} s of training" if self.saved_seconds else ""
        return (
            f"{self.seconds:,.1f} s of computing ({self.cpu_seconds:,.0f} CPU seconds{gpu}), "
            f"estimated at {self.kwh:.5f} kWh{money}{saved}"
        )
