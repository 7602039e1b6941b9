"""Every generator that is trained here learns in bf16, in another memory layout, and compiled where it says so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench import registry
from bench.context import StageContext
from bench.loop import placed
from bench.testing import tiny_images
from generators.ddpm import DDPM

# Name -> changes of the smoke preset: some steps less, all kinds of a step still among them.
TRAINED: dict[str, dict[str, Any]] = {
    "ddpm": {"steps": 8, "sampling_steps": 2},
    "ldm": {"steps": 8, "ae_steps": 8, "sampling_steps": 2},
    "stylegan2_ada": {"kimg": 0.064},
    "dcgan": {},
    "pggan": {},
    "pix2pixhd": {"steps": 10},
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


def test_networks_lie_channels_last_on_a_gpu_alone() -> None:
    asked: list[Any] = []
    module = SimpleNamespace(to=lambda *where, **how: asked.append((where, how)))
    for device in ("cpu", "cuda", "cuda:1"):
        placed(module, device)
    layouts = [torch.contiguous_format, torch.channels_last, torch.channels_last]
    assert asked == [((d,), {"memory_format": f}) for d, f in zip(("cpu", "cuda", "cuda:1"), layouts, strict=True)]


@pytest.mark.parametrize(
    ("name", "module"), [("dcgan", "generators._dcgan.training"), ("pggan", "generators._pggan.training"),
                         ("pix2pixhd", "generators.pix2pixhd.training")]
)  # fmt: skip
def test_networks_learn_the_same_channels_last(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout of a GPU, here on the processor: every operation takes it, and results differ by rounding."""
    usual, ctx = fitted(name, tmp_path / "usual", "fp32")
    placements: list[bool] = []

    def last(network: nn.Module, device: str) -> nn.Module:
        found = network.to(device, memory_format=torch.channels_last)
        placements.append(any(p.ndim == 4 and not p.is_contiguous() for p in found.parameters()))
        return found

    monkeypatch.setattr(f"{module}.placed", last)
    other, at = fitted(name, tmp_path / "last", "fp32")
    assert len(placements) >= 2
    assert all(placements), "of each network some weights lie otherwise"
    losses = [[row["loss"] for row in c.history] for c in (ctx, at)]
    assert losses[1][:3] == pytest.approx(losses[0][:3], rel=1e-4)
    labels = np.array([0, 1, 1, 0])
    drawn = [m.sample(labels, c).astype(int) for m, c in ((usual, ctx), (other, at))]
    assert np.abs(drawn[0] - drawn[1]).mean() < 3
