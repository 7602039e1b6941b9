"""Latent diffusion: the contract, its two phases, and the scale of its latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.capabilities import CanReconstruct
from bench.testing import GeneratorContract, tiny_images
from bench.testkit import KilledError, RehearsalContext
from generators._diffusion import autoencoder as ae
from generators._diffusion.codecs import to_float
from generators.ldm import LatentDiffusion

SMALL = {**LatentDiffusion.presets["smoke"], "steps": 6, "ae_steps": 6, "channels": (8, 16), "ae_channels": (8, 16)}


class TestContract(GeneratorContract):
    """What every generator owes, on the smoke preset."""

    plugin = LatentDiffusion


def fitted(ctx: RehearsalContext, **values: Any) -> LatentDiffusion:
    generator = LatentDiffusion(LatentDiffusion.Config(**{**SMALL, **values}))
    generator.fit(tiny_images(20), ctx)
    return generator


def weights(generator: LatentDiffusion) -> dict[str, torch.Tensor]:
    state = generator.model.state()
    return {**state["unet"], **{f"ae.{k}": v for k, v in state["codec"]["autoencoder"].items()}}


@pytest.mark.parametrize("killed_after", [1, 5, 6, 7, 11])
def test_a_killed_fit_gives_the_same_weights_in_either_phase(killed_after: int, tmp_path: Path) -> None:
    """Steps 1-6 train the autoencoder, 7-12 the UNet; after step 6 the checkpoint is of a finished phase."""
    expected = weights(fitted(RehearsalContext(tmp_path / "whole"), dropout=0.2))
    with pytest.raises(KilledError):
        fitted(RehearsalContext(tmp_path / "cut", store_at=killed_after), dropout=0.2)
    found = weights(fitted(RehearsalContext(tmp_path / "cut"), dropout=0.2))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[k], found[k]) for k in expected)


def test_a_finished_autoencoder_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KilledError):
        fitted(RehearsalContext(tmp_path, store_at=8))
    assert (tmp_path / "autoencoder").is_dir()

    def refuse(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(ae, "train_autoencoder", refuse)
    fitted(RehearsalContext(tmp_path))
    assert not (tmp_path / "autoencoder").exists()


def test_steps_count_on_over_both_phases(tmp_path: Path) -> None:
    ctx = RehearsalContext(tmp_path)
    fitted(ctx)
    assert [row["step"] for row in ctx.history] == list(range(1, 13))
    assert ctx.offers == 12


def test_codes_are_white_and_reconstructions_the_size_of_images(tmp_path: Path) -> None:
    ctx, train = RehearsalContext(tmp_path), tiny_images(20)
    generator = fitted(ctx)
    assert isinstance(generator, CanReconstruct)
    x = to_float(torch.from_numpy(np.asarray(train.pixels)).permute(0, 3, 1, 2))
    with torch.no_grad():
        z = generator.model.codec.encode(x)
    rows = z.permute(0, 2, 3, 1).reshape(-1, 7)
    torch.testing.assert_close(torch.cov(rows.T, correction=0), torch.eye(7), rtol=0, atol=1e-3)
    torch.testing.assert_close(rows.mean(dim=0), torch.zeros(7), rtol=0, atol=1e-3)
    assert generator.reconstruct(train, ctx).shape == train.pixels.shape


def test_the_autoencoder_learns_to_reconstruct(tmp_path: Path) -> None:
    """Most of what differs between images is kept, though 200 steps and 64 numbers an image are few."""
    values = {"ae_steps": 200, "ae_channels": (32, 64), "steps": 1}
    generator, train = fitted(RehearsalContext(tmp_path), **values), tiny_images(20)
    pixels = np.asarray(train.pixels).astype(float)
    error = np.square(generator.reconstruct(train, RehearsalContext(tmp_path)) - pixels).mean()
    assert error < 0.4 * np.square(pixels - pixels.mean(0)).mean()


def test_presets_are_valid_and_cost_more_from_one_to_the_next() -> None:
    sizes = {"smoke": 16, "cpu": 32, "gpu": 128, "paper": 256}
    assert set(LatentDiffusion.presets) == set(sizes)
    plugins = [LatentDiffusion(LatentDiffusion.Config(**LatentDiffusion.presets[p])) for p in sizes]
    costs = [plugin.cost(1000, size) for plugin, size in zip(plugins, sizes.values(), strict=True)]
    assert [c.steps for c in costs] == [p.config.ae_steps + p.config.steps for p in plugins]
    assert [c.flops for c in costs] == sorted(c.flops for c in costs)
    assert [c.memory_mb for c in costs] == sorted(c.memory_mb for c in costs)
