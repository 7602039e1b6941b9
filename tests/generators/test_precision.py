"""Every generator that is trained here learns in bf16, and goes through torch.compile where it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from bench import registry
from bench.context import StageContext
from bench.testing import tiny_images
from generators.ddpm import DDPM

# Name -> changes of the smoke preset: some steps less, all kinds of a step still among them.
TRAINED: dict[str, dict[str, Any]] = {
    "ddpm": {"steps": 8, "sampling_steps": 2},
    "ldm": {"steps": 8, "ae_steps": 8, "sampling_steps": 2},
    "stylegan2_ada": {"kimg": 0.064},
    "dcgan": {},
    "pggan": {},
    "pix2pixhd": {},
}


def fitted(name: str, folder: Path, precision: str) -> tuple[Any, StageContext]:
    cls = registry.load("generator", name)
    model, ctx = cls(cls.Config(**{**cls.presets["smoke"], **TRAINED[name]})), StageContext(0, folder, "cpu", precision)
    model.fit(tiny_images(12), ctx)
    return model, ctx


@pytest.mark.parametrize("name", TRAINED)
def test_smoke_fits_in_bf16(name: str, tmp_path: Path) -> None:
    """Finite losses to the last step, images that differ, and near those of float32 in mean brightness."""
    model, ctx = fitted(name, tmp_path, "bf16")
    scalars = {key for row in ctx.history for key in row} - {"step"}
    assert "loss" in scalars
    assert np.isfinite([row[key] for row in ctx.history for key in scalars if key in row]).all()
    labels = np.array([0, 1, 1, 0])
    drawn = model.sample(labels, ctx)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (4, 16, 16, 3)
    assert len(np.unique(drawn.reshape(4, -1), axis=0)) == 4
    wide, at_full = fitted(name, tmp_path / "fp32", "fp32")
    assert abs(drawn.mean() - wide.sample(labels, at_full).mean()) < 25


@pytest.mark.parametrize("asked", ["0", "1"])
def test_the_unet_is_compiled_where_it_is_asked_for(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module, *_, **__: compiled.append(type(module).__name__))
    monkeypatch.setenv("BENCH_COMPILE", asked)
    DDPM(DDPM.Config(**{**DDPM.presets["smoke"], "steps": 1})).fit(tiny_images(4), StageContext(0, tmp_path))
    assert compiled == (["UNet2DModel"] if asked == "1" else [])
