"""What a step takes in seconds; a training's memory at most and parameters too."""

import ctypes
import gc
import os
import sys
import threading
from time import perf_counter
from types import TracebackType
from typing import Self

import psutil

from schemas.records.references import TrainingCost

SAMPLE_SECONDS = 0.02


class Stopwatch:
    """Counts from when it is made: seconds, those of processors, and those of a step that used a GPU.

    Processes of its own count once they have ended.
    """

    def __init__(self) -> None:
        self._begun, self._cpu_seconds, self._gpu_bytes = perf_counter(), _cpu_seconds(), _gpu_bytes()

    def read(self) -> dict[str, float]:
        """What it took so far, as the fields of a step's record."""
        seconds = perf_counter() - self._begun
        has_used_gpu = _gpu_bytes() > self._gpu_bytes
        return {
            "seconds": seconds,
            "cpu_seconds": _cpu_seconds() - self._cpu_seconds,
            "gpu_seconds": seconds if has_used_gpu else 0.0,
        }


class Meter:
    """Measures the body of a `with`.

    The peak is what the process held at most above what it held before, sampled every 20 ms; on an accelerator what
    torch allocated there at most, above what it had.
    """

    _seconds = 0.0
    _peak_bytes = 0
    _trained_parameters = _parameters = 0

    @property
    def cost(self) -> TrainingCost:
        """What was measured, once the body has ended."""
        return TrainingCost(
            seconds=self._seconds,
            peak_memory_bytes=self._peak_bytes,
            trained_parameters=self._trained_parameters,
            parameters=self._parameters,
        )

    def note_size(self, trained_parameters: int, parameters: int) -> None:
        """Keep the number of parameters beside what is measured."""
        self._trained_parameters, self._parameters = trained_parameters, parameters

    def __enter__(self) -> Self:
        import torch

        _give_back()
        self._begun, self._before = perf_counter(), _resident()
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True, name="meter")
        self._sampler.start()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self._allocated = torch.cuda.memory_allocated()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import torch

        self._seconds = perf_counter() - self._begun
        self._ended.set()
        self._sampler.join()
        if torch.cuda.is_available():
            self._peak_bytes = torch.cuda.max_memory_allocated() - self._allocated

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._peak_bytes = max(self._peak_bytes, _resident() - self._before)


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def _gpu_bytes() -> int:
    """What torch has ever allocated on the GPU; 0 where nobody has asked for one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.memory_stats().get("allocated_bytes.all.allocated", 0))


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _give_back() -> None:
    """Let the operating system have what was freed before, or the next work would find it and seem to need nothing."""
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
