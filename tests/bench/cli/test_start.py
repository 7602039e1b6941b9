"""The command line starts fast: no heavy import, well under a second."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import pytest

from tests.bench.cli.command import ROOT, bench

HEAVY = {"torch", "diffusers", "timm", "scipy", "matplotlib", "sklearn", "statsmodels", "PIL"}
LIMIT_SECONDS = 0.7
PROBE = """
import json, sys
from bench.cli import app
try:
    app(sys.argv[1:], prog_name="bench")
except SystemExit as end:
    assert not end.code, end.code
print("\\n" + json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
FAST = [["--help"], ["list"], ["list", "generator", "--json"], ["run", "--help"], ["doctor", "--help"], ["--version"]]


@pytest.mark.parametrize("arguments", FAST, ids=" ".join)
def test_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert HEAVY.isdisjoint(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.speed
@pytest.mark.parametrize("arguments", [["--help"], ["list"]], ids=" ".join)
def test_starts_in_time(arguments: list[str]) -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert bench(*arguments).returncode == 0
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) <= LIMIT_SECONDS, seconds
