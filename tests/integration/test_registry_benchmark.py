"""What is counted of a promotion. Alone: pytest tests/integration/test_registry_benchmark.py -m slow."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_promotion_of_the_same_version_sends_nothing_and_reads_all_of_it_once():
    command = [sys.executable, "-m", "benchmarks.registry", "--megabytes", "20", "--repeats", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])

    assert figures.keys() == {"upload_ratio", "download_ratio", "repromotion_bytes", "repromotion_received_bytes"}
    assert (figures["repromotion_bytes"], figures["repromotion_received_bytes"]) == (0, 20 * 10**6)
