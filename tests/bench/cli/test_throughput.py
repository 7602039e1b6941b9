"""``bench throughput`` as a person and a script call it."""

from __future__ import annotations

import json

import pytest

from bench.cli.throughput import parse_batches
from bench.errors import ConfigError
from tests.bench.cli.command import bench

SMALL = ("--preset", "smoke", "--batches", "2,4", "--steps", "2", "--calls", "2", "-n", "16", "--resolution", "16")


def test_json_has_a_row_for_each_phase_and_batch() -> None:
    done = bench("throughput", "--generator", "ddpm", *SMALL, "--threads", "1", "--precision", "fp32", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(row["phase"], row["batch"]) for row in found["rows"]] == [
        ("fit", 2), ("fit", 4), ("sample", 2), ("sample", 4)
    ]  # fmt: skip
    for row in found["rows"]:
        assert row["error"] == ""
        assert row["images_per_second"] > 0
        assert row["ms_p95"] >= row["ms_p50"] > 0
        assert row["memory_mb"] > 10
        assert (row["device"], row["precision"], row["threads"]) == ("cpu", "fp32", 1)
    first, second = (row["flops"] for row in found["rows"][:2])
    assert first == pytest.approx(second, rel=0.01)  # work of an image does not depend on the batch
    assert found["environment"]["cpu"]


def test_table_for_a_person() -> None:
    done = bench("throughput", "--generator", "pca-gaussian", *SMALL, "--plain")
    assert done.returncode == 0, done.stderr
    assert "pca-gaussian (smoke) at 16 px" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines() if line.strip().startswith(("fit", "sample"))]
    assert [line[:2] for line in lines] == [["fit", "16"], ["sample", "2"], ["sample", "4"]]


def test_bad_batches_are_named() -> None:
    assert parse_batches(" 1, 8,64 ") == [1, 8, 64]
    for text in ("", "0", "4,x", "-1"):
        with pytest.raises(ConfigError, match="give batch sizes of 1 or more"):
            parse_batches(text)
