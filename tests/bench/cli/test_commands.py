"""Commands as a person or a script calls them: output where it belongs, exit codes that tell the truth."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.record import Record
from tests.bench.cli.command import ROOT, bench

SMALL = [f"--set={s}" for s in ("data.options.n_train=400", "data.options.n_test=200", "replicates=200")]


def run_options(folder: Path, generator: str = "copy") -> list[str]:
    places = ["--store", str(folder / "store"), "--out", str(folder / "runs")]
    return ["run", "--preset", "smoke", "--protocol", "synthetic-only", "--generator", generator, *SMALL, *places]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def ran(folder: Path) -> subprocess.CompletedProcess[str]:
    return bench(*run_options(folder))


@pytest.fixture(scope="module")
def run_dir(folder: Path, ran: subprocess.CompletedProcess[str]) -> Path:
    (found,) = (folder / "runs").iterdir()
    return found


def test_run_prints_plain_lines_and_tables(ran: subprocess.CompletedProcess[str], run_dir: Path) -> None:
    assert ran.returncode == 0, ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "prepare phantom: done in" in ran.stdout
    assert "Arms on test" in ran.stdout
    assert "colour floor" in ran.stdout
    assert (run_dir / "table.txt").read_text().splitlines()[1].startswith(run_dir.name)


def test_json_is_alone_on_stdout_and_repeats_nothing(run_dir: Path, folder: Path) -> None:
    again = bench(*run_options(folder), "--json")
    record = Record.model_validate_json(again.stdout)
    assert {s.status for s in record.stages} == {"cached"}
    assert "Arms on test" in again.stderr


def test_the_command_of_the_record_is_the_one_given(run_dir: Path) -> None:
    record = Record.read(run_dir / "record.json")
    assert record.command.startswith("python -m bench run --protocol synthetic-only --generator copy --preset smoke")
    assert "--set data.options.n_train=400" in record.command


def test_show_resume_and_compare_work_on_the_run(run_dir: Path, folder: Path) -> None:
    shown = bench("show", str(run_dir), "--plain")
    assert shown.returncode == 0
    assert "Arms on test" in shown.stdout
    by_name = bench("show", run_dir.name[:20], "--out", str(run_dir.parent), "--json")
    assert Record.model_validate_json(by_name.stdout).run_id == run_dir.name
    resumed = bench("resume", str(run_dir), "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert {s.status for s in Record.model_validate_json(resumed.stdout).stages} == {"cached"}
    arms = [a.name for a in Record.read(run_dir / "record.json").arms]
    compared = bench("compare", f"{run_dir}:{arms[0]}", f"{run_dir}:{arms[-1]}", "--json")
    rows = {row["endpoint"]: row for row in json.loads(compared.stdout)}
    auc = {a.name: a.metrics["auc"].value for a in Record.read(run_dir / "record.json").arms}
    assert rows["auc"]["value"] == pytest.approx(auc[arms[0]] - auc[arms[-1]], abs=1e-9)
    assert rows["auc"]["low"] <= rows["auc"]["value"] <= rows["auc"]["high"]


def test_compare_refuses_other_test_images_and_changed_predictions(run_dir: Path, tmp_path: Path) -> None:
    record = Record.read(run_dir / "record.json")
    other = record.model_copy(update={"data": record.data.model_copy(update={"fingerprint": "0" * 64})})
    other.write(tmp_path / "record.json")
    refused = bench("compare", str(run_dir), str(tmp_path))
    assert refused.returncode == 3
    assert "data fingerprint differs" in refused.stderr
    record.write(tmp_path / "record.json")
    path = record.arms[0].predictions
    assert path is not None
    (tmp_path / path.path).parent.mkdir()
    (tmp_path / path.path).write_bytes(b"changed")
    changed = bench("compare", f"{run_dir}:{record.arms[0].name}", f"{tmp_path}:{record.arms[0].name}")
    assert changed.returncode == 3
    assert "sha256 differs" in changed.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "--generator", "dppm"], 2, "Did you mean 'ddpm'?"),
        (["run", "--set", "generator.stepz=3"], 2, "Did you mean 'steps'?"),
        (["run", "--set", "generator.steps"], 2, "section.option=value"),
        (["run", "--seeds", "many"], 2, "give a count (5) or a list (0,3,7)"),
        (["run", "--preset", "huge"], 2, "smoke, cpu, gpu, paper"),
        (["run", "--device", "cuda:99", "--preset", "smoke"], 2, "CUDA devices"),
        (["run", "--data", "ham10000:no/such/folder"], 3, "no/such/folder"),
        (["describe", "gizmo", "x"], 2, "no kind of plugin 'gizmo'"),
        (["show", "no-such-run"], 3, "no record at no-such-run"),
        (["resume", "no-such-run"], 2, "not the folder of a run"),
        (["lst"], 2, "Did you mean 'list'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    done = bench(*arguments, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == code, done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or arguments[0] == "run"


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in bench("show", "no-such-run", "--debug").stderr


def test_list_is_complete_and_lazy() -> None:
    rows = json.loads(bench("list", "--json").stdout)
    assert {
        "kind": "generator",
        "name": "ldm",
        "target": "generators.ldm:LatentDiffusion",
        "package": "dermbench",
    } in rows
    assert {r["kind"] for r in json.loads(bench("list", "generators", "--json").stdout)} == {"generator"}


def test_a_failed_seed_gives_an_exit_code(folder: Path, run_dir: Path) -> None:
    done = bench(*run_options(folder, "tests.bench.cli.broken:Breaks"), "--json", PYTHONPATH=str(ROOT))
    assert done.returncode == 5, done.stderr
    record = Record.model_validate_json(done.stdout)
    assert record.status == "failed"
    assert "the loss is gone" in record.failures[0].message


def hear_interrupts() -> None:
    """A child of a background job would ignore Ctrl-C, as its parent was told to."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(stop: signal.Signals, folder: Path, run_dir: Path) -> None:
    options = [*run_options(folder, "ddpm"), "--set", "generator.steps=100000"]
    command = [sys.executable, "-u", "-m", "bench", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "fit ddpm ..." in line:
            break
    time.sleep(2.0)
    process.send_signal(stop)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; finished stages are kept, go on with: python -m bench run" in rest
    assert "Traceback" not in rest
