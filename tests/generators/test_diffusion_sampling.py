"""Sampling and variation with the ideal denoiser of a Gaussian, for which every answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.context import StageContext
from bench.contracts import Images
from bench.errors import ConfigError, DataError
from generators._diffusion.codecs import PixelCodec
from generators._diffusion.model import DiffusionModel, image_noise
from generators._diffusion.networks import build_unet
from generators._diffusion.options import DiffusionOptions
from tests.generators.gaussian import MEANS, SD, gaussian_model, images


@pytest.fixture
def ctx(tmp_path: Path) -> StageContext:
    return StageContext(7, tmp_path)


def codes(pixels: np.ndarray) -> np.ndarray:
    return pixels / 127.5 - 1.0


@pytest.mark.parametrize("sampler", ["dpm++", "ddim", "heun"])
@pytest.mark.parametrize(
    "noise",
    [
        {},
        {"zero_terminal_snr": True},
        {"schedule": "sigmoid"},
        {"sampling_levels": (40.0, 0.02, 3.0)},
        {"zero_terminal_snr": True, "sampling_levels": (40.0, 0.02, 3.0)},
    ],
    ids=str,
)
def test_samples_have_the_moments_of_their_class(sampler: Any, noise: dict[str, Any], ctx: StageContext) -> None:
    drawn = codes(gaussian_model(sampler=sampler, **noise).sample(np.array([0, 1] * 100), ctx))
    for k, mean in enumerate(MEANS):
        assert drawn[k::2].mean() == pytest.approx(mean, abs=0.01)
        assert drawn[k::2].std() == pytest.approx(SD, rel=0.1)


def test_guidance_moves_the_mean_away_from_the_null_class(ctx: StageContext) -> None:
    """The score is linear in the mean, so scale s samples around null + s (class - null)."""
    drawn = codes(gaussian_model(guidance=1.5).sample(np.zeros(100, dtype=np.int64), ctx))
    null = sum(MEANS) / 2
    assert drawn.mean() == pytest.approx(null + 1.5 * (MEANS[0] - null), abs=0.01)


def test_guidance_is_confined_to_its_noise_levels(ctx: StageContext) -> None:
    labels, plain = np.zeros(20, dtype=np.int64), {"sampling_batch": 20}
    conditional = gaussian_model(**plain).sample(labels, ctx)
    everywhere = gaussian_model(guidance=2.0, **plain).sample(labels, ctx)
    rows = {}
    for name, interval in {"all": (0.0, 1e9), "none": (1e8, 1e9), "middle": (0.3, 3.0)}.items():
        model = gaussian_model(guidance=2.0, guidance_interval=interval, **plain)
        drawn, rows[name] = model.sample(labels, ctx), model.unet.rows  # type: ignore[union-attr]
        if name == "all":
            np.testing.assert_array_equal(drawn, everywhere)
        if name == "none":
            np.testing.assert_array_equal(drawn, conditional)
    assert rows["all"] == 2 * rows["none"] == 2 * 100 * 20
    alpha, sigma = (np.asarray(f) for f in (model.unet.process.alpha, model.unet.process.sigma))  # type: ignore[union-attr]
    level = (sigma / alpha)[9::10]
    assert rows["middle"] == 20 * (100 + ((level > 0.3) & (level <= 3.0)).sum())


def test_guidance_of_scale_one_is_the_conditional_prediction() -> None:
    plain = DiffusionOptions(channels=(8, 16), layers=1)
    torch.manual_seed(0)
    unet = build_unet(plain, (12, 4, 4), 2)
    nn.init.normal_(unet.conv_out.weight)
    codec = PixelCodec(torch.zeros(3), torch.ones(3), patch=2, stride=2)
    z, y, t = torch.randn(3, 12, 4, 4), torch.tensor([0, 1, 1]), torch.tensor(400)

    def predicted(scale: float) -> Tensor:
        model = DiffusionModel(plain.model_copy(update={"guidance": scale}), codec, unet, (8, 8), 2)
        return model.predictor(y)(z, t)

    given, null = unet(z, t, class_labels=y).sample, unet(z, t, class_labels=torch.full((3,), 2)).sample
    assert not torch.allclose(given, null)
    torch.testing.assert_close(predicted(1.0), given)
    torch.testing.assert_close(predicted(1.0 + 1e-9), given, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(predicted(0.0), null, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(predicted(3.0), null + 3 * (given - null), rtol=1e-4, atol=1e-4)


def test_variation_of_little_strength_stays_near_the_image(ctx: StageContext) -> None:
    given, model = images(40, MEANS[1], 1), gaussian_model()
    distances = [
        float(np.abs(codes(model.vary(given, ctx, s)) - codes(np.asarray(given.pixels))).mean())
        for s in (0.01, 0.1, 0.35, 1.0)
    ]
    assert distances[0] < 0.02
    assert distances == sorted(distances)
    assert distances[-1] == pytest.approx(2 / np.pi**0.5 * SD, rel=0.1)  # mean |a - b| of independent a, b


def test_variation_of_full_strength_forgets_the_image(ctx: StageContext) -> None:
    far = images(100, 0.9, 0)
    varied = codes(gaussian_model().vary(far, ctx, 1.0))
    assert varied.mean() == pytest.approx(MEANS[0], abs=0.01)
    assert varied.std() == pytest.approx(SD, rel=0.1)
    correlation = np.corrcoef(varied.ravel(), np.asarray(far.pixels).ravel())[0, 1]
    assert abs(correlation) < 4 / varied.size**0.5


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.01])
def test_strength_outside_zero_to_one_is_refused(strength: float, ctx: StageContext) -> None:
    with pytest.raises(ConfigError, match="strength must lie in"):
        gaussian_model().vary(images(2, 0.0, 0), ctx, strength)


def test_images_of_another_size_are_refused(ctx: StageContext) -> None:
    names = np.array(["a"])
    other = Images(np.zeros((1, 9, 8, 3), dtype=np.uint8), np.array([0]), names, names, ("rest", "melanoma"))
    with pytest.raises(DataError, match="9x8 pixels, the generator was fitted on 8x8"):
        gaussian_model().vary(other, ctx, 0.5)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_batch_size_changes_no_image(batch: int, ctx: StageContext) -> None:
    labels = np.array([0, 1, 1, 0, 1, 0, 0])
    expected = gaussian_model().sample(labels, ctx).astype(int)
    assert np.abs(gaussian_model(sampling_batch=batch).sample(labels, ctx) - expected).max() <= 1


def test_no_labels_give_no_images(ctx: StageContext) -> None:
    assert gaussian_model().sample(np.zeros(0, dtype=np.int64), ctx).shape == (0, 8, 8, 3)


def test_noise_of_an_image_depends_on_the_seed_and_its_place_alone() -> None:
    long, short = image_noise(50, (4, 3, 3), 1), image_noise(7, (4, 3, 3), 1)
    assert torch.equal(long[:7], short)
    assert not torch.equal(short, image_noise(7, (4, 3, 3), 2))
    assert float(long.std()) == pytest.approx(1.0, abs=0.1)
    assert len(torch.unique(long[:, 0, 0, 0])) == 50
