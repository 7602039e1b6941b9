"""Fifty thousand images on either side: what must fit into memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, time
import numpy as np
from bench.metrics import prdc

n, width = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
real, synthetic = (rng.normal(size=(n, width)).astype(np.float32) for _ in range(2))
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
found = prdc(real, synthetic)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak / 1024, (peak - before) / 1024, time.perf_counter() - start, found.precision, found.recall, found.coverage)
"""


def measured(n: int, width: int) -> dict[str, float]:
    """Peak memory of the process and above its data (MB), seconds, and three shares, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(n), str(width)], capture_output=True, text=True, check=True, timeout=890
    )
    names = ("peak", "above", "seconds", "precision", "recall", "coverage")
    return dict(zip(names, map(float, done.stdout.split()), strict=True))


def test_memory_grows_with_the_rows_and_not_with_their_square():
    small, large = measured(2_000, 16), measured(8_000, 16)
    assert large["above"] < small["above"] + 60  # a matrix of 8,000 x 8,000 distances is 256 MB in float32


def test_memory_above_the_features_is_one_float32_copy_of_them():
    """So 50,000 x 2,048 on either side need 0.8 GB for the features and 0.8 GB above them."""
    found = measured(4_000, 1_024)
    assert found["above"] < 2 * 4_000 * 1_024 * 4 / 2**20 + 60


@pytest.mark.slow
@pytest.mark.speed
def test_fifty_thousand_on_either_side_fit_into_two_gigabytes():
    """A full matrix of distances would be 10 GB in float32, and there are three."""
    found = measured(50_000, 8)
    print(found)
    assert found["peak"] <= 2048
    for name in ("precision", "recall", "coverage"):
        assert 0.6 < found[name] <= 1  # two draws of one distribution
