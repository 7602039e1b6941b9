"""Which pictures a run gets, and when they are drawn again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from bench.evaluate import Judged
from bench.pictures import AMOUNTS, draw_pictures
from bench.record import Record
from tests.bench.test_figures import swept


def draw(record: Record, folder: Path) -> None:
    """The pictures of a run without generator, on 40 test images."""
    labels = np.arange(40) % 2
    p = np.clip(0.5 + 0.2 * (labels - 0.5) + np.random.default_rng(0).normal(0, 0.1, 40), 0, 1)
    scores = np.stack([1 - p, p], axis=1).astype(np.float32)
    judged = [{name: Judged(scores, {}, scores, {}) for name in ("C0", "A0.5", "A2")}]
    task = SimpleNamespace(positive=1, class_names=("nevus", "melanoma"))
    world: Any = SimpleNamespace(task=task, test=SimpleNamespace(labels=labels))
    bench: Any = None
    draw_pictures(bench, world, judged, {}, {}, record, folder)


def test_a_run_with_a_sweep_gets_its_curve(tmp_path: Path) -> None:
    record = swept(2)
    record.files = {}
    draw(record, tmp_path)
    assert record.files[AMOUNTS] == "figures/amounts.png"
    with Image.open(tmp_path / record.files[AMOUNTS]) as picture:
        assert picture.format == "PNG"
        assert picture.width == 720


def test_a_run_without_one_does_not(tmp_path: Path) -> None:
    record = swept(1)
    record.files = {}
    record.arms = [arm for arm in record.arms if arm.name != "A2"]
    draw(record, tmp_path)
    assert sorted(record.files) == ["ROC curves", "reliability curves"]
    assert not (tmp_path / "figures" / "amounts.png").exists()


def test_pictures_are_drawn_again_only_when_a_stage_changed(tmp_path: Path) -> None:
    record = swept(1)
    record.files = {}
    draw(record, tmp_path)
    path = tmp_path / record.files[AMOUNTS]
    path.write_bytes(b"drawn before")
    draw(record, tmp_path)
    assert path.read_bytes() == b"drawn before"
    record.stages[0].key = "another"
    draw(record, tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
