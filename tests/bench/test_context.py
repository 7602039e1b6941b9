"""Checkpoints, progress and speed of a stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.context import StageContext


def test_checkpoints_come_back_and_only_the_newest_stays(tmp_path: Path) -> None:
    ctx = StageContext(0, tmp_path, checkpoint_seconds=0)
    assert ctx.latest() is None
    ctx.log(1, 4, loss=2.0)
    ctx.checkpoint(1, lambda: {"w": np.arange(3)})
    ctx.checkpoint(2, lambda: {"w": np.arange(4)})
    again = StageContext(0, tmp_path)
    found = again.latest()
    assert found is not None
    assert found[0] == 2
    assert np.array_equal(found[1]["w"], np.arange(4))
    assert again.history == [{"step": 1.0, "loss": 2.0}]
    assert again.resumed_at == 2
    assert len(list(tmp_path.glob("checkpoint-*"))) == 1


def test_a_half_written_checkpoint_is_not_taken(tmp_path: Path) -> None:
    ctx = StageContext(0, tmp_path, checkpoint_seconds=0)
    ctx.checkpoint(1, lambda: {"w": 1})
    (tmp_path / "checkpoint.partial").mkdir()
    (tmp_path / "checkpoint.partial" / "tree.json").write_text("{")
    found = StageContext(0, tmp_path).latest()
    assert found is not None
    assert found[0] == 1


def test_state_is_asked_for_only_when_due(tmp_path: Path) -> None:
    ctx = StageContext(0, tmp_path, checkpoint_seconds=3600)

    def never() -> dict[str, int]:
        raise AssertionError("no checkpoint was due")

    ctx.checkpoint(1, never)


def test_history_has_about_two_hundred_rows_and_the_last_step(tmp_path: Path) -> None:
    ctx = StageContext(0, tmp_path)
    for i in range(1, 1001):
        ctx.log(i, 1000, loss=1 / i)
    assert 200 <= len(ctx.history) <= 202
    assert ctx.history[-1] == {"step": 1000.0, "loss": 0.001}


def test_speed_excludes_warm_up(tmp_path: Path) -> None:
    class Config:
        batch = 8

    ctx = StageContext(0, tmp_path)
    for i in range(1, 101):
        ctx.log(i, 100)
    speed = ctx.speed(Config())["throughput"]
    assert speed["images"] == (100 - 3) * 8
    assert speed["batch"] == 8
    assert ctx.speed(object()) == {}
