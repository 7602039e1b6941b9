"""A guided run of several seeds, killed after the first: what it leaves, and what a run of more seeds repeats."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from bench.ledger_file import read_ledger
from bench.record import Record
from leaderboard.load import load
from leaderboard.pages import run_html
from tests.bench.cli.command import ROOT, bench

SETS = (
    "data.options.n_train=300", "data.options.n_test=160", "replicates=100", "classifier.steps=20",
    'protocol.arms=["C1"]', "protocol.rounds=2", "protocol.per_case=2", "protocol.max_cases=12",
    "protocol.label_check=0.35", "protocol.p_true_below=0.95", "protocol.strategy_options.oversample=2",
)  # fmt: skip
CHILDREN = 2 * 2  # of a case: as many candidates for each of the images that are wanted


def command(folder: Path, seeds: str) -> list[str]:
    places = ["--store", str(folder / "store"), "--out", str(folder / "runs")]
    options = ["run", "--preset", "smoke", "--protocol", "adversarial", "--generator", "copy-noise", "--threads", "1"]
    return [*options, *places, "--seeds", seeds, *(f"--set={s}" for s in SETS)]


def record_below(folder: Path) -> Record | None:
    paths = list(folder.glob("*/record.json"))
    return Record.read(paths[0]) if paths else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("partial")


@pytest.fixture(scope="module")
def killed(folder: Path) -> Path:
    """Folder of a run of three seeds that was killed by SIGKILL once the record of the first lay there."""
    words = [sys.executable, "-m", "bench", *command(folder, "3"), "--plain"]
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(words, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 240
        while record_below(folder / "runs") is None and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, (folder / "output").read_text()
    (run,) = (folder / "runs").iterdir()
    return run


@pytest.fixture(scope="module")
def more(folder: Path, killed: Path) -> subprocess.CompletedProcess[str]:
    """The same run with two seeds, in this process (torch need not be imported once more), without pictures."""
    from bench.cli import app

    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), patch("bench.run.draw_pictures"):
        try:
            app([*command(folder, "0,1"), "--json"])
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess([], code, out.getvalue(), err.getvalue())


def test_what_was_finished_is_readable_and_counted(killed: Path) -> None:
    record = Record.read(killed / "record.json")
    assert record.status == "partial"
    assert {a.seed for a in record.arms} == {0}
    assert {(c.arm, c.versus, c.n_seeds) for c in record.comparisons} == {("guided", "C1", 1)}
    shown = bench("show", str(killed), "--plain")
    assert shown.returncode == 0, shown.stderr
    assert "(1 of 3 seeds finished)" in shown.stdout
    assert "Over 1 paired seed: fewer than the 10 that a claim needs." in " ".join(shown.stdout.split())
    (entry,) = load([killed]).entries
    assert "1 of 3 seeds finished" in run_html(entry, "0" * 64, {})


def test_plain_lines_told_the_first_seed(folder: Path, killed: Path) -> None:
    lines = (folder / "output").read_text().splitlines()
    (at,) = [i for i, line in enumerate(lines) if "1 of 3 seeds: AUC C0 0." in line]
    assert lines[at].lstrip("[ ")[0].isdigit(), "a line has its time"
    assert "guided - C1: " in lines[at + 1]
    assert lines[at + 1].endswith("AUC over 1 seed")


def test_the_ledger_of_the_finished_seed_is_whole(killed: Path) -> None:
    text = bench("show", str(killed), "--ledger", "--plain", COLUMNS="200")
    assert text.returncode == 0, text.stderr
    assert "1 of 3 seeds finished" in text.stdout
    told = json.loads(bench("show", str(killed), "--ledger", "--json").stdout)
    assert [(of["seed"], of["round"]) for of in told["rounds"]] == [(0, 1), (0, 2)]
    for of in told["rounds"]:
        assert [len(case["children"]) for case in of["cases"]] == [CHILDREN] * of["mined"]
        children = [child for case in of["cases"] for child in case["children"]]
        assert len(children) == of["made"]
        assert sum(c["accepted"] for c in children) == of["accepted"]
        reasons = Counter(c["reason"] for c in children if not c["accepted"])
        assert reasons == {reason: n for reason, n in of["rejected"].items() if n}
        assert all(c["judge"] >= 0.3499 for c in children if c["accepted"])
        assert [c["before"] for c in of["cases"]] == sorted(c["before"] for c in of["cases"])
        for case in of["cases"]:
            assert case["id"] in text.stdout
            assert all(child["id"] in text.stdout for child in case["children"])


def test_more_seeds_repeat_nothing_of_the_first(killed: Path, more: subprocess.CompletedProcess[str]) -> None:
    assert more.returncode == 0, more.stderr
    record = Record.model_validate_json(more.stdout)
    assert record.status == "complete"
    assert {a.seed for a in record.arms} == {0, 1}
    first = [s for s in record.stages if s.seed == 0]
    assert len(first) > 20
    assert {s.status for s in first} == {"cached"}
    assert any(s.stage == "train" and s.status == "executed" for s in record.stages if s.seed == 1)
    assert {s.status for s in record.stages if s.seed is None and s.stage == "data"} == {"cached"}
    kept = {a.name: a for a in Record.read(killed / "record.json").arms}
    assert {a.name: a for a in record.arms if a.seed == 0} == kept


def test_with_json_the_interim_lines_are_on_the_other_stream(more: subprocess.CompletedProcess[str]) -> None:
    assert "1 of 2 seeds: AUC C0 0." in more.stderr
    assert "2 of 2 seeds" not in more.stderr, "the tables say the rest"
    assert more.stdout.startswith("{")


def test_both_seeds_are_in_the_ledger(folder: Path, more: subprocess.CompletedProcess[str]) -> None:
    record = Record.model_validate_json(more.stdout)
    rounds = read_ledger(record, folder / "runs" / record.run_id)
    assert [(of.totals.seed, of.totals.round) for of in rounds] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert all(of.families is not None and of.memorization is not None for of in rounds)


def test_a_run_of_another_protocol_has_no_ledger(folder: Path, more: subprocess.CompletedProcess[str]) -> None:
    record = Record.model_validate_json(more.stdout).model_copy(update={"ledger": []})
    record.protocol.name = "real-only"
    record.write(folder / "other.json")
    refused = bench("show", str(folder / "other.json"), "--ledger")
    assert refused.returncode == 3
    assert "protocol 'real-only' noted no rounds of hard cases" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
