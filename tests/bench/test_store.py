"""Stages are made once, appear whole or not at all, and survive a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from bench.errors import StageError
from bench.store import META, Store

KEY = "ab" * 32


def _write(value: str):  # type: ignore[no-untyped-def]
    def make(out: Path, scratch: Path) -> dict[str, int]:
        (out / "value.txt").write_text(value)
        return {"n": 3}

    return make


def test_a_stage_is_made_once_and_described(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.once("fit", KEY, _write("one"), name="fit it")
    second = store.once("fit", KEY, _write("two"), name="fit it")
    assert (first.status, second.status) == ("executed", "cached")
    assert (second.folder / "value.txt").read_text() == "one"
    assert second.meta["n"] == 3
    assert second.meta["name"] == "fit it"
    assert second.meta["seconds"] >= 0
    assert [m["key"] for m in store.stages()] == [KEY]
    assert not (tmp_path / "work" / KEY).exists()


def test_a_failing_stage_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(out: Path, scratch: Path) -> None:
        (out / "half.txt").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.once("fit", KEY, fail)
    assert store.find("fit", KEY) is None
    assert store.once("fit", KEY, _write("whole")).status == "executed"
    assert not (store.folder("fit", KEY) / "half.txt").exists()


def test_scratch_survives_a_failure_and_counts_the_seconds_before(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def interrupted(out: Path, scratch: Path) -> None:
        (scratch / "elapsed.json").write_text(json.dumps(12.5))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.once("fit", KEY, interrupted)
    done = store.once("fit", KEY, _write("whole"))
    assert done.status == "resumed"
    assert 12.5 <= done.meta["seconds"] < 14


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.once("fit", KEY, _write("one")).folder
    (folder / META).write_text("{")
    with pytest.raises(StageError, match=r"stage\.json: damaged"):
        store.find("fit", KEY)


def _slow_maker(root: str, counter: str) -> None:
    def make(out: Path, scratch: Path) -> None:
        with open(counter, "a") as file:
            file.write("x")
        time.sleep(0.5)

    Store(Path(root)).once("fit", KEY, make)


def test_two_processes_make_a_stage_once(tmp_path: Path) -> None:
    counter = tmp_path / "count"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_slow_maker, args=(str(tmp_path / "s"), str(counter))) for _ in range(3)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(60)
    assert [w.exitcode for w in workers] == [0, 0, 0]
    assert counter.read_text() == "x"


def test_a_killed_process_frees_the_lock(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    worker = spawn.Process(target=_hang, args=(str(tmp_path),))
    worker.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join(10)
    assert Store(tmp_path).once("fit", KEY, _write("after")).status == "executed"


def _hang(root: str) -> None:
    def make(out: Path, scratch: Path) -> None:
        (Path(root) / "started").write_text("")
        time.sleep(600)

    Store(Path(root)).once("fit", KEY, make)
