"""Two processes that share batches give the losses of one; the first alone writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
RUN = ["-m", "bench", "run", "--protocol", "synthetic-only", "--generator", "ddpm", "--preset", "smoke", "--plain"]
FIT = r"""
import sys
from pathlib import Path
from tests.worlds import small_lab
from bench.training import processes

lab = small_lab(Path(sys.argv[1]))
fit = lab.fit_generator(lab.train, name="ddpm", options={"steps": 20, "batch": 8})
sys.stdout.write(f"process {processes.rank()} {fit.stored.status}\n")
"""


def run(*arguments: str, **variables: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    environment |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", **variables}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def losses(folder: Path) -> list[float]:
    (path,) = folder.glob("store/fit/*/*/history.json")
    return [row["loss"] for row in json.loads(path.read_text())]


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    script = tmp_path / "fit.py"
    script.write_text(FIT)
    assert "process 0 executed" in run(str(script), str(tmp_path / "one"))
    told = run(*LAUNCH, str(script), str(tmp_path / "two"))
    assert "process 0 executed" in told
    assert "process 1 cached" in told
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 20
    print("largest relative difference:", max(abs(a / b - 1) for a, b in zip(two, one, strict=True)))
    assert two == pytest.approx(one, rel=2e-3)
    assert two != one
    assert not any((tmp_path / "two" / "store" / "work").iterdir())


@pytest.mark.slow
def test_a_run_of_two_processes_has_one_record(tmp_path: Path) -> None:
    places = ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "runs")]
    told = run(*LAUNCH, *RUN, *places)
    (record,) = tmp_path.glob("runs/*/record.json")
    assert json.loads(record.read_text())["status"] == "complete"
    assert told.count("AUC") == run(*RUN, *places).count("AUC")
