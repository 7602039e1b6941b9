"""Two processes that share batches give the losses of one; the first alone writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# Without --multi_gpu, and without MPI, Accelerate starts one process on processors, whatever the number asked for.
ACCELERATE = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
ACCELERATE += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
RUN = ["-m", "bench", "run", "--protocol", "synthetic-only", "--generator", "ddpm", "--preset", "smoke", "--plain"]
FIT = r"""
import json
import sys
from pathlib import Path
from tests.worlds import small_lab
from bench.training import processes

lab = small_lab(Path(sys.argv[1]))
fit = lab.fit_generator(lab.train, name=sys.argv[2], options=json.loads(sys.argv[3]))
sys.stdout.write(f"process {processes.rank()} {fit.stored.status}\n")
"""
DDPM = ("ddpm", {"steps": 20, "batch": 8})
# Of images of 16 px. Noise inputs of stylegan2_ada differ between processes, so its losses are near, not alike.
OTHERS: list[tuple[str, dict[str, Any], float]] = [
    ("ldm", {"steps": 8, "batch": 8, "ae_steps": 8, "ae_batch": 8}, 2e-3),
    ("ldm", {"steps": 8, "batch": 8, "ae_steps": 8, "ae_batch": 8, "adversarial_weight": 0.5, "disc_start": 2}, 2e-3),
    ("stylegan2_ada", {"kimg": 0.064, "batch": 16, "per_class": True}, 2e-2),
    ("pggan", {"fade": 2, "stable": 3, "final": 3, "batch": 16, "group": 4}, 2e-3),
]

LEAVE = r"""
import atexit
import sys
from pathlib import Path
import torch
from bench.training import processes

def tell():
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").glob("*")]
    threads = sum("gloo" in name for name in names)
    joined = torch.distributed.is_initialized()
    sys.stdout.write(f"process {processes.rank()} still joined: {joined}, threads of gloo: {threads}\n")

atexit.register(tell)  # handlers run last in, first out: this one sees what the program left behind
assert processes.told_by_first(processes.rank()) == 0
assert torch.distributed.is_initialized()
weight = torch.nn.Parameter(torch.ones(2))
weight.sum().backward()
torch.optim.AdamW([weight]).step()  # imports much of torch
if "fail" in sys.argv:
    raise RuntimeError("as if training had failed")
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


def stage_keys(folder: Path) -> dict[str, str]:
    """Key of every stage in the one record of ``folder``, which is complete."""
    (path,) = folder.glob("runs/*/record.json")
    record = json.loads(path.read_text())
    assert record["status"] == "complete"
    return {stage["name"]: stage["key"] for stage in record["stages"]}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fit and of a run by one process."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "fit.py").write_text(FIT)
    assert "process 0 executed" in run(str(folder / "fit.py"), *fit_of(folder / "fit", DDPM))
    run(*RUN, *places(folder))
    return folder


def fit_of(folder: Path, what: tuple[str, dict[str, Any]]) -> list[str]:
    return [str(folder), what[0], json.dumps(what[1])]


def places(folder: Path) -> list[str]:
    return ["--store", str(folder / "store"), "--out", str(folder / "runs")]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_two_processes_train_what_one_trains(launcher: list[str], alone: Path, tmp_path: Path) -> None:
    told = run(*launcher, str(alone / "fit.py"), *fit_of(tmp_path / "two", DDPM))
    assert "process 0 executed" in told
    assert "process 1 cached" in told
    one, two = losses(alone / "fit"), losses(tmp_path / "two")
    assert len(one) == 20
    print("largest relative difference:", max(abs(a / b - 1) for a, b in zip(two, one, strict=True)))
    assert two == pytest.approx(one, rel=2e-3)
    assert two != one
    assert not any((tmp_path / "two" / "store" / "work").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "rel"), OTHERS)
def test_generators_of_several_networks_train_together(
    name: str, options: dict[str, Any], rel: float, alone: Path, tmp_path: Path
) -> None:
    """Each phase is done by both, or by the first alone where a batch cannot be shared, and told to the other."""
    for folder, launcher in (("one", []), ("two", TORCHRUN)):
        assert "process 0 executed" in run(
            *launcher, str(alone / "fit.py"), *fit_of(tmp_path / folder, (name, options))
        )
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    print("largest difference:", max(abs(a - b) for a, b in zip(two, one, strict=True)))
    assert two == pytest.approx(one, rel=rel, abs=rel)
    assert two != one
    assert not any((tmp_path / "two" / "store" / "work").iterdir())


@pytest.mark.slow
def test_a_run_of_two_processes_has_one_record_of_the_same_stages(alone: Path, tmp_path: Path) -> None:
    run(*TORCHRUN, *RUN, *places(tmp_path))
    assert stage_keys(tmp_path) == stage_keys(alone)


@pytest.mark.slow
def test_processes_part_before_they_end(tmp_path: Path) -> None:
    """Else the threads of gloo are alive when the interpreter ends, and abort it in one launch of four."""
    (tmp_path / "leave.py").write_text(LEAVE)
    told = run(*TORCHRUN, str(tmp_path / "leave.py"))
    left = "still joined: False, threads of gloo: 0"
    assert sorted(told.split("\n")) == ["", f"process 0 {left}", f"process 1 {left}"]
    with pytest.raises(AssertionError, match="as if training had failed"):
        run(*TORCHRUN, str(tmp_path / "leave.py"), "fail")
