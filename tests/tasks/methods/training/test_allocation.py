"""Memory that is kept while a model is trained. Alone: pytest tests/tasks/methods/training/test_allocation.py."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys, torch
from contextlib import nullcontext
from tasks.methods.training.allocation import kept_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.zeros(12_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with kept_memory():
    # Until as many pieces were found as small allocations in between ask for.
    for _ in range(3):
        faults()
    kept = faults()
print(kept, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_large_tensors_come_without_page_faults_inside_and_with_them_outside():
    printed = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    kept, fresh = map(int, printed.split())

    # Ten times 48 MB are 117,000 small pages, or 230 large ones.
    assert kept < fresh / 10
