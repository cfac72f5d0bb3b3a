"""Large tensors in memory that the process has already, instead of fresh pages of the operating system.

glibc maps each allocation above 32 MB anew and gives it back when it is freed, so the gradient of a vocabulary's
embeddings costs thousands of page faults every step: 47 MB of zeros took 35 ms, and 1.3 ms in memory that was kept.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# mallopt's parameters (malloc.h), and afterwards the values that glibc comes to by itself once large pieces were freed:
# it stops adapting them when one is set.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
ADAPTED = {M_MMAP_THRESHOLD: 32 * 2**20, M_TRIM_THRESHOLD: 64 * 2**20, M_MMAP_MAX: 65536}
KEEP_ALL = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory for the next allocation, and give it back at the end; does nothing without glibc."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        yield
        return
    for parameter, value in KEEP_ALL.items():
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in ADAPTED.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)
