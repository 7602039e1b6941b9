"""Grids of samples during training: drawn at their steps, kept with the stage, without a trace in the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import registry
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


# Generator -> options beside the smoke preset, and the grids of its fit, where one is due every 4 steps.
SMALL: dict[str, tuple[dict[str, Any], list[str]]] = {
    "ldm": ({"ae_steps": 4, "steps": 8}, ["step-000004.png", "step-000008.png"]),
    "stylegan2_ada": ({"kimg": 0.064, "style_mixing": 0.5}, ["step-000004.png", "step-000008.png"]),
    "stylegan2_ada a class": (
        {"kimg": 0.04, "per_class": True, "truncation": 0.7}, ["class-0-step-000004.png", "class-1-step-000004.png"]
    ),
    "dcgan": ({"steps": 8, "classes": "separate"}, ["step-000004.png", "step-000008.png"]),
    "dcgan together": ({"steps": 5, "ema": 0.0}, ["step-000004.png"]),
    "pggan": ({"fade": 2, "stable": 2, "final": 2}, ["step-000004.png", "step-000008.png"]),
    "pix2pixhd": ({"steps": 8}, ["step-000004.png", "step-000008.png"]),
    "pix2pixhd without average": ({"steps": 5, "ema": 0.0, "styles": 0}, ["step-000004.png"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_no_generator_learns_otherwise_for_its_grids(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, (changes, expected) = registry.load("generator", name.split()[0]), SMALL[name]
    stored = []
    for every in ("0", "4"):
        monkeypatch.setenv("BENCH_GRID_EVERY", every)
        model = cls(cls.Config(**{**cls.presets["smoke"], **changes}))
        model.fit(tiny_images(8), StageContext(1, tmp_path / every))
        (tmp_path / f"model-{every}").mkdir()
        model.save(tmp_path / f"model-{every}")
        stored.append({p.name: p.read_bytes() for p in (tmp_path / f"model-{every}").iterdir()})
    assert stored[0] == stored[1]
    assert not (tmp_path / "0" / "grids").exists()
    grids = {p.name: np.asarray(Image.open(p)) for p in sorted((tmp_path / "4" / "grids").iterdir())}
    assert list(grids) == expected
    rows = 1 if "class-0" in expected[0] else 2
    for grid in grids.values():
        assert grid.shape == (rows * 64, 8 * 64, 3)
        tiles = grid.reshape(rows, 64, 8, 64, 3).swapaxes(1, 2).reshape(rows * 8, -1)
        assert len(np.unique(tiles, axis=0)) == len(tiles), "all samples differ"


def test_a_class_without_images_has_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_GRID_EVERY", "4")
    for name in ("dcgan", "pggan", "pix2pixhd"):
        cls = registry.load("generator", name)
        model = cls(cls.Config(**{**cls.presets["smoke"], **SMALL[name][0]}))
        model.fit(tiny_images((8, 0, 8)), StageContext(0, tmp_path / name))
        assert np.asarray(Image.open(tmp_path / name / "grids" / "step-000004.png")).shape == (2 * 64, 8 * 64, 3)


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
