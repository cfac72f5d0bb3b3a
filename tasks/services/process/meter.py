"""Cost of a step in seconds, and of a training in peak memory and parameters."""

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import psutil

from schemas.records.references import TrainingCost

SAMPLE_SECONDS = 0.02


class Stopwatch:
    """Wall-clock, CPU and GPU seconds since its creation; child processes count once they have ended."""

    def __init__(self) -> None:
        self._begun, self._cpu_seconds, self._gpu_bytes = perf_counter(), _cpu_seconds(), _gpu_bytes()

    def read(self) -> dict[str, float]:
        """Return the seconds so far, as fields of a StepRecord."""
        seconds = perf_counter() - self._begun
        has_used_gpu = _gpu_bytes() > self._gpu_bytes
        return {
            "seconds": seconds,
            "cpu_seconds": _cpu_seconds() - self._cpu_seconds,
            "gpu_seconds": seconds if has_used_gpu else 0.0,
        }


@dataclass
class Meter:
    """Cost of the body of `running`, as the fields of a TrainingCost.

    The peak is resident memory above the level before, sampled every 20 ms; on a GPU, the peak that torch allocated.
    """

    seconds: float = 0.0
    peak_memory_bytes: int = 0
    trained_parameters: int = 0
    parameters: int = 0

    @property
    def cost(self) -> TrainingCost:
        return TrainingCost(**vars(self))

    def note_size(self, trained_parameters: int, parameters: int) -> None:
        self.trained_parameters, self.parameters = trained_parameters, parameters

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure the body."""
        import torch

        _release_freed_memory()
        begun, before, ended = perf_counter(), _resident_bytes(), threading.Event()

        def sample() -> None:
            while not ended.wait(SAMPLE_SECONDS):
                self.peak_memory_bytes = max(self.peak_memory_bytes, _resident_bytes() - before)

        sampler = threading.Thread(target=sample, daemon=True, name="meter")
        sampler.start()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        allocated = torch.cuda.memory_allocated()
        try:
            yield
        finally:
            self.seconds = perf_counter() - begun
            ended.set()
            sampler.join()
            if torch.cuda.is_available():
                self.peak_memory_bytes = torch.cuda.max_memory_allocated() - allocated


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def _gpu_bytes() -> int:
    """Return the bytes that torch has ever allocated on the GPU; 0 without an initialized one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.memory_stats().get("allocated_bytes.all.allocated", 0))


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _release_freed_memory() -> None:
    """Return freed memory to the operating system, else the measured body reuses it and seems to need none."""
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
