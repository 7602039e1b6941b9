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


@pytest.mark.parametrize("perceptual", [0.0, 1.0])
@pytest.mark.parametrize("adversarial", [0.0, 0.5])
def test_stated_work_of_the_autoencoder_is_what_torch_counts(
    perceptual: float, adversarial: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more step of the autoencoder, with LPIPS of random weights and with the discriminator."""
    from safetensors.torch import save_file
    from torchvision.models.vgg import cfgs, make_layers

    from bench.operations import OperationCounter
    from generators._diffusion.codecs import Bands, PixelCodec
    from generators._diffusion.training import evenly_spaced

    folder = tmp_path / "weights" / "lpips-vgg"
    folder.mkdir(parents=True)
    state = {f"features.{name}": tensor for name, tensor in make_layers(cfgs["D"]).state_dict().items()}
    save_file(state, str(folder / "weights.safetensors"))
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
    train = tiny_images(4)
    values = {"ae_batch": 4, "disc_channels": 32, "perceptual_weight": perceptual, "adversarial_weight": adversarial}
    counted, stated = [], []
    for steps in (1, 2):
        generator = LatentDiffusion(LatentDiffusion.Config(**{**SMALL, **values, "ae_steps": steps}))
        o, x = generator.config, evenly_spaced(train)
        pixels = PixelCodec.measured(x, o.patch, o.stride * o.reduction)
        with OperationCounter() as counter:
            ae.train_autoencoder(o, train, Bands.measured(pixels, o.factor, x), RehearsalContext(tmp_path / str(steps)))
        counted.append(counter.total)
        stated.append(generator.cost(4, 16).flops)
    assert counted[1] - counted[0] == pytest.approx(stated[1] - stated[0], rel=0.03)


def test_the_discriminator_costs_from_where_it_joins() -> None:
    def cost(**values: Any) -> float:
        return LatentDiffusion(LatentDiffusion.Config(**{**SMALL, "ae_steps": 10, **values})).cost(4, 16).flops

    whole, late = cost(adversarial_weight=0.5), cost(adversarial_weight=0.5, disc_start=5)
    assert whole - cost() == pytest.approx(2 * (late - cost()))
    assert cost(adversarial_weight=0.5, disc_start=10) == cost()


def test_presets_are_valid_and_cost_more_from_one_to_the_next() -> None:
    sizes = {"smoke": 16, "cpu": 32, "gpu": 128, "paper": 256}
    assert set(LatentDiffusion.presets) == set(sizes)
    plugins = [LatentDiffusion(LatentDiffusion.Config(**LatentDiffusion.presets[p])) for p in sizes]
    costs = [plugin.cost(1000, size) for plugin, size in zip(plugins, sizes.values(), strict=True)]
    assert [c.steps for c in costs] == [p.config.ae_steps + p.config.steps for p in plugins]
    assert [c.flops for c in costs] == sorted(c.flops for c in costs)
    assert [c.memory_mb for c in costs] == sorted(c.memory_mb for c in costs)
