"""Grids of samples during training: drawn at their steps, kept with the stage, without a trace in the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.context import StageContext
from bench.testing import tiny_images
from bench.training.grids import write_grid
from generators.ddpm import DDPM
from tests.worlds import small_lab


def fitted(folder: Path, every: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    monkeypatch.setenv("BENCH_GRID_EVERY", every)
    generator = DDPM(DDPM.Config(**{**DDPM.presets["smoke"], "steps": 12, "dropout": 0.2}))
    generator.fit(tiny_images(8), StageContext(1, folder))
    return dict(generator.model.state()["unet"])


def test_grids_do_not_change_what_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = fitted(tmp_path / "a", "0", monkeypatch)
    with_grids = fitted(tmp_path / "b", "5", monkeypatch)
    assert all(torch.equal(without[name], with_grids[name]) for name in without)
    assert not (tmp_path / "a" / "grids").exists()
    paths = sorted((tmp_path / "b" / "grids").iterdir())
    assert [p.name for p in paths] == ["step-000005.png", "step-000010.png"]
    first, second = (np.asarray(Image.open(p)) for p in paths)
    assert first.shape == (2 * 64, 8 * 64, 3)
    assert not np.array_equal(first, second)


def test_a_stored_fit_has_its_grids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_GRID_EVERY", "10")
    lab = small_lab(tmp_path)
    fit = lab.fit_generator(lab.train, name="ddpm")
    assert [p.name for p in sorted((fit.stored.folder / "grids").iterdir())] == [
        f"step-{i:06d}.png" for i in (10, 20, 30)
    ]
    assert "grid" not in json.dumps(fit.stored.meta["config"])


def test_images_lie_row_by_row(tmp_path: Path) -> None:
    pixels = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), dtype=np.uint8)
    write_grid(tmp_path / "g.png", pixels, 3)
    grid = np.asarray(Image.open(tmp_path / "g.png"))
    assert grid.shape == (128, 192, 3)
    assert grid[32::64, 32::64, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
