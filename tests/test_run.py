"""Whole runs: the record is true, a repeat executes nothing, a kill loses nothing, a leak stops everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.config import RunConfig
from bench.contracts import GeneratorBase, Images
from bench.errors import LeakError, StageError
from bench.record import Record
from bench.run import RunResult, execute
from tests.worlds import small_config

SMALL_PHANTOM = ["data.options.n_train=500", "data.options.n_test=240", "replicates=200"]


def config(folder: Path, *sets: str, **options: Any) -> RunConfig:
    return small_config(folder, sets=[*SMALL_PHANTOM, *sets], **options)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def main_job(shared: Path) -> RunResult:
    return execute(config(shared, protocol="adversarial", generator="ldm"), command="python -m bench run")


def test_the_main_job_ends_in_a_whole_record(main_job: RunResult) -> None:
    record = Record.read(main_job.folder / "record.json")
    assert record.status == "complete"
    assert not record.ranked
    assert [a.name for a in record.arms] == ["C0", "C0r", "guided", "C1", "C2", "C3", "C6"]
    for arm in record.arms:
        assert {"auc", "sensitivity@youden", "specificity@sens95"} <= set(arm.metrics)
        for estimate in arm.metrics.values():
            assert (estimate.value is None) == (estimate.reason is not None)
            if estimate.value is not None and estimate.low is not None and estimate.high is not None:
                assert estimate.low <= estimate.high
                assert estimate.n > 0
    assert {f.name for f in record.fidelity} == {"ldm", "ldm autoencoder, reconstructed held-out reals"}
    for name in ("fid", "kid", "precision", "recall", "copy_rate"):
        assert name in record.fidelity[0].metrics
    assert {"fid", "kid", "precision", "recall"} <= set(record.fidelity[0].floor)
    assert record.floors["colour floor"].value is not None
    assert record.comparisons[0].p_adjusted is not None
    assert "1 paired seed" in record.verdict
    assert {t.phase for t in record.throughput} == {"fit", "sample", "predict"}
    assert all((main_job.folder / name).exists() for name in record.files.values())
    assert sorted(record.checksums) == sorted(record.files.values())
    assert all(arm.selected_step for arm in record.arms)
    assert all(s.seconds >= 0 for s in record.stages)


def test_predictions_beside_the_record_give_its_auc(main_job: RunResult) -> None:
    from bench.stats import auc

    for arm in main_job.record.arms:
        assert arm.predictions is not None
        with np.load(main_job.folder / arm.predictions.path) as stored:
            y, scores = stored["y"], stored["scores"]
            assert not any(str(i).startswith("syn-") for i in stored["ids"])
        value = arm.metrics["auc"].value
        assert value is not None
        assert float(auc(y == 1, scores[:, 1])) == pytest.approx(value, abs=1e-12)


def test_the_same_run_again_executes_nothing(main_job: RunResult, shared: Path) -> None:
    again = execute(config(shared, protocol="adversarial", generator="ldm"))
    assert again.executed == 0
    assert again.record.arms == main_job.record.arms
    assert again.record.fidelity == main_job.record.fidelity
    assert again.record.comparisons == main_job.record.comparisons


def test_another_strategy_costs_only_its_own_images_and_fits(main_job: RunResult, shared: Path) -> None:
    other = execute(config(shared, "protocol.strategy=rejection", protocol="adversarial", generator="ldm"))
    executed = {s.name for s in other.record.stages if s.status == "executed"}
    assert not any(name.startswith(("fit ", "prepare ")) for name in executed)
    assert not any("fold" in name for name in executed)


class FailsOnOddSeeds(GeneratorBase):
    """Breaks for some seeds, as real training does."""

    def fit(self, train: Images, ctx: Any) -> None:
        if ctx.seed % 2:
            raise StageError("training diverged: loss is nan at step 7")
        self.mean = np.asarray(train.pixels[:]).mean((0, 1, 2))
        self.size = train.size[0]

    def sample(self, labels: Any, ctx: Any, hints: Any = None) -> Any:
        rng = np.random.default_rng(ctx.seed)
        noise = rng.normal(0, 20, (len(labels), self.size, self.size, 3))
        return np.clip(np.rint(self.mean + noise), 0, 255).astype(np.uint8)


def test_a_failed_seed_stays_visible_and_the_sweep_goes_on(shared: Path) -> None:
    from bench.keys import stage_seed

    seeds = tuple(range(4))
    odd = [s for s in seeds if stage_seed(s, "generator") % 2]
    assert 0 < len(odd) < 4
    found = execute(
        config(shared, protocol="synthetic-only", generator="tests.test_run:FailsOnOddSeeds", seeds=seeds)
    ).record
    assert found.status == "partial"
    assert [f.seed for f in found.failures] == odd
    assert "loss is nan at step 7" in found.failures[0].message
    assert {a.seed for a in found.arms} == set(seeds) - set(odd)
    assert found.comparisons[0].n_seeds == 4 - len(odd)


class TestPeeker(GeneratorBase):
    """Hands out images it should never have seen: the control that must make a run fail."""

    __test__ = False

    def fit(self, train: Images, ctx: Any) -> None:
        self.size = train.size[0]

    def sample(self, labels: Any, ctx: Any, hints: Any = None) -> Any:
        store = Path(ctx.workdir).parents[2] / "data"
        folder = next(p.parent for p in store.glob("*/*/table.npz"))
        with np.load(folder / "table.npz") as table:
            rows = np.flatnonzero(table["part"] == "test")
        return np.load(folder / "pixels.npy")[np.resize(rows, len(labels))]


def test_a_generator_that_shows_test_images_makes_the_run_fail(shared: Path) -> None:
    job = config(shared, protocol="synthetic-only", generator="tests.test_run:TestPeeker")
    with pytest.raises(LeakError, match=r"held-out real images \(test\): syn-\w+-\d+ = ") as raised:
        execute(job)
    with np.load(next((job.store / "data").glob("*/*/table.npz"))) as table:
        secret = table["id"][table["part"] == "test"]
    assert str(raised.value).split(" = ")[1].split(",")[0] in secret
    record = Record.read(job.out / job.run_id() / "record.json")
    assert record.status == "failed"
    assert record.failures[0].error == "LeakError"


def _hear_interrupts() -> None:
    """A child of a background job would ignore Ctrl-C, as its parent was told to."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _start(folder: Path, *extra: str) -> subprocess.Popen[str]:
    sets = [part for s in [*SMALL_PHANTOM, "generator.steps=120"] for part in ("--set", s)]
    command = [
        sys.executable, "-m", "bench", "run", "--preset", "smoke", "--protocol", "synthetic-only",
        "--generator", "ddpm", "--threads", "1", "--store", str(folder / "store"), "--out", str(folder / "runs"),
        *sets, *extra,
    ]  # fmt: skip
    environment = {**os.environ, "BENCH_CHECKPOINT_SECONDS": "0.2", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        preexec_fn=_hear_interrupts,
    )


def _numbers(folder: Path) -> dict[str, Any]:
    record = json.loads(next((folder / "runs").glob("*/record.json")).read_text())
    assert record["status"] == "complete"
    for comparison in record["comparisons"]:
        if comparison["primary"]:
            assert comparison.pop("extra_seconds") > 0  # a time, and so is what follows from it
            assert comparison.pop("per_hour")["value"] is not None
    return {k: record[k] for k in ("arms", "fidelity", "comparisons", "floors", "split")}


@pytest.mark.slow
def test_kill_minus_nine_at_any_moment_changes_no_number(tmp_path: Path) -> None:
    whole = _start(tmp_path / "whole")
    output, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, output
    kills, killed = 0, tmp_path / "killed"
    for attempt in range(40):
        process = _start(killed)
        try:
            output, _ = process.communicate(timeout=4.0 + attempt)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        assert process.returncode == 0, output
        break
    assert kills >= 2
    assert _numbers(killed) == _numbers(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_leaves_a_partial_record_and_a_run_that_goes_on(tmp_path: Path) -> None:
    process = _start(tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("store/work/*/scratch/checkpoint-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    record = json.loads(next((tmp_path / "runs").glob("*/record.json")).read_text())
    assert record["status"] in ("failed", "partial")
    again = _start(tmp_path)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    _numbers(tmp_path)
