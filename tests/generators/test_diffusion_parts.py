"""Codecs, symmetries, averaged weights, networks and their cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.loop import Ema
from generators._diffusion.augment import random_symmetry
from generators._diffusion.autoencoder import build, kl_to_standard_normal, reconstruction_loss
from generators._diffusion.codecs import (
    BandCodec,
    Bands,
    LatentCodec,
    PixelCodec,
    to_float,
    to_uint8,
    whitening_of,
)
from generators._diffusion.cost import autoencoder_tallies, unet_tally
from generators._diffusion.latent_options import LatentOptions
from generators._diffusion.networks import build_unet
from generators._diffusion.options import DiffusionOptions
from generators._diffusion.training import Optimiser, dropped_labels


def test_every_byte_survives_the_way_to_float_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_uint8(to_float(every)), every)


def test_bytes_are_clipped_and_rounded_half_to_even() -> None:
    """0 is level 127.5, the one tie that float32 can hold exactly."""
    levels = torch.tensor([0.49, 0.51, 1.49, 254.51])
    assert to_uint8(levels / 127.5 - 1.0).tolist() == [0, 1, 1, 255]
    assert to_uint8(torch.tensor([-1.2, 0.0, 1.2])).tolist() == [0, 128, 255]


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (17, 30), (3, 5)])
@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (2, 2), (4, 4)])
def test_pixel_codec_is_exact_at_any_size(size: tuple[int, int], patch: int, stride: int) -> None:
    x = torch.rand(5, 3, *size) * 2 - 1
    codec = PixelCodec.measured(x, patch, stride)
    z = codec.encode(x)
    assert z.shape[1:] == codec.code_shape(size)
    assert z.shape[2] % stride == z.shape[3] % stride == 0
    torch.testing.assert_close(codec.decode(z, size), x)


def test_pixel_codes_have_zero_mean_and_unit_variance_in_every_colour() -> None:
    x = torch.randn(50, 3, 8, 8) * torch.tensor([0.1, 0.2, 0.4]).view(1, 3, 1, 1) + 0.3
    z = PixelCodec.measured(x, 1, 1).encode(x)
    torch.testing.assert_close(z.mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.std(dim=(0, 2, 3)), torch.ones(3))


@pytest.mark.parametrize("size", [(16, 16), (17, 30)])
def test_codes_of_bands_are_white_and_exact(size: tuple[int, int]) -> None:
    smooth = torch.nn.functional.interpolate(torch.rand(300, 3, 4, 4), size=size, mode="bicubic", align_corners=False)
    x = (smooth + 0.2 * torch.rand(300, 3, *size)) * 2 - 1
    codec = BandCodec.measured(Bands.measured(PixelCodec.measured(x, 2, 2), 2, x), x)
    z = codec.encode(x)
    assert z.shape[1:] == codec.code_shape(size)
    assert z.shape[1] == 15
    rows = z.permute(0, 2, 3, 1).reshape(-1, 15)
    torch.testing.assert_close(torch.cov(rows.T, correction=0), torch.eye(15), rtol=0, atol=2e-3)
    torch.testing.assert_close(codec.decode(z, size), x, rtol=0, atol=1e-4)
    torch.testing.assert_close(BandCodec.from_state(codec.state()).encode(x), z)


def test_errors_in_coarse_colours_have_no_block_edges() -> None:
    """A changed block fades into its neighbours; among unshuffled pixels it would end at its border."""
    x = torch.rand(40, 3, 16, 16) * 2 - 1
    bands = Bands.measured(PixelCodec.measured(x, 4, 1), 4, x)
    coarse, detail = bands.split(x[:1])
    changed = coarse.clone()
    changed[:, :, 2, 2] += 1.0
    difference = bands.join(changed, detail, (16, 16)) - bands.join(coarse, detail, (16, 16))
    steps = (difference[..., 1:] - difference[..., :-1]).abs().amax()
    assert float(steps) < 0.3 * float(difference.abs().amax())


def test_images_of_one_colour_can_be_coded() -> None:
    x = torch.full((4, 3, 8, 8), 0.25)
    codec = PixelCodec.measured(x, 2, 1)
    assert torch.isfinite(codec.encode(x)).all()
    torch.testing.assert_close(codec.decode(codec.encode(x), (8, 8)), x)


@pytest.mark.parametrize(("kind", "expected"), [("dihedral", 8), ("flips", 4), ("none", 1)])
def test_symmetries_are_the_whole_group_and_equally_frequent(kind: Any, expected: int) -> None:
    x = torch.arange(12.0).view(3, 2, 2).expand(4000, 3, 2, 2)
    drawn, counts = torch.unique(random_symmetry(x, kind, torch.Generator().manual_seed(0)), dim=0, return_counts=True)
    assert len(drawn) == expected
    assert int(counts.min()) > 0.8 * 4000 / expected
    x_dihedral = {tuple(torch.rot90(f, k, (1, 2)).flatten().tolist()) for f in (x[0], x[0].flip(2)) for k in range(4)}
    assert {tuple(d.flatten().tolist()) for d in drawn} <= x_dihedral


def test_oblong_images_keep_their_shape() -> None:
    x = torch.rand(64, 3, 2, 4)
    assert random_symmetry(x, "dihedral", torch.Generator().manual_seed(0)).shape == x.shape


def test_labels_are_dropped_to_the_null_class_at_the_given_rate() -> None:
    labels = torch.arange(10_000) % 2
    dropped = dropped_labels(labels, 2, 0.1, torch.Generator().manual_seed(0))
    assert abs(float((dropped == 2).float().mean()) - 0.1) < 4 * 0.3 / 100
    assert torch.equal(dropped[dropped != 2], labels[dropped != 2])
    assert torch.equal(dropped_labels(labels, 2, 0.0, torch.Generator()), labels)


def test_averaged_weights_follow_the_recursion() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    ema, expected = Ema(layer, 0.5), 0.0
    for t in range(1, 30):
        torch.nn.init.constant_(layer.weight, float(t))
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * t
        ema.update(layer)
        assert float(ema.module.weight) == pytest.approx(expected, rel=1e-5)


def test_reconstruction_loss_by_hand() -> None:
    target = torch.zeros(1, 1, 2, 2)
    x = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert float(reconstruction_loss(x, target, 0.0)) == pytest.approx(0.25)
    assert float(reconstruction_loss(x, target, 2.0)) == pytest.approx(0.25 + 2 * (0.5 + 0.5))
    assert float(reconstruction_loss(x + 1, x, 5.0)) == pytest.approx(1.0)


def test_kl_agrees_with_torch() -> None:
    mean, logvar = torch.randn(4, 3), torch.randn(4, 3)
    posterior = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(kl_to_standard_normal(mean, logvar), expected)


def test_the_gradient_is_clipped_and_the_rate_follows_the_step() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimiser = Optimiser([weight], lr=0.1, steps=10, warmup=4, decay=0.0, clip=1e-3)
    optimiser.step((weight * 1e6).sum(), 1)
    assert float(weight.grad or 0.0) == pytest.approx(1e-3, rel=1e-3)
    assert optimiser.adamw.param_groups[0]["lr"] == pytest.approx(0.05)
    assert float(weight.detach()) == pytest.approx(0.95, abs=1e-4)


def macs(call: Any) -> float:
    # The counter knows no fused attention of the CPU.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(
    ("options", "channels", "side"),
    [
        (DiffusionOptions(channels=(32, 64), layers=2, attention=1), 4, 8),
        (DiffusionOptions(channels=(32, 64, 96), layers=1, attention=0), 12, 16),
        (DiffusionOptions(channels=(64,), layers=1, attention=1), 48, 8),
    ],
)
def test_cost_of_the_unet_is_what_a_counter_finds(options: DiffusionOptions, channels: int, side: int) -> None:
    unet = build_unet(options, (channels, side, side), 2)
    z, y = torch.randn(1, channels, side, side), torch.zeros(1, dtype=torch.long)
    tally = unet_tally(options, channels, side)
    assert tally.macs == pytest.approx(macs(lambda: unet(z, torch.tensor(3), class_labels=y)), rel=0.05)
    assert tally.parameters == pytest.approx(sum(p.numel() for p in unet.parameters()), rel=0.05)


@pytest.mark.parametrize("values", [{}, {"ae_channels": (32, 64, 64), "patch": 1, "ae_attention": True}])
def test_cost_of_the_autoencoder_is_what_a_counter_finds(values: dict[str, Any]) -> None:
    options = LatentOptions(**values)
    autoencoder, side = build(options), 32 // options.patch
    x = torch.randn(1, 3 * options.patch**2, side, side)
    encoder, decoder = autoencoder_tallies(options, side)
    assert encoder.macs == pytest.approx(macs(lambda: autoencoder.encode(x)), rel=0.05)
    z = torch.randn(1, options.latent_channels, side // options.reduction, side // options.reduction)
    assert decoder.macs == pytest.approx(macs(lambda: autoencoder.decode(z)), rel=0.05)
    found = sum(p.numel() for p in autoencoder.parameters())
    assert encoder.parameters + decoder.parameters == pytest.approx(found, rel=0.05)


def latent_codec(options: LatentOptions) -> LatentCodec:
    pixels = PixelCodec(torch.zeros(3), torch.ones(3), options.patch, options.stride * options.reduction)
    channels = options.code_channels
    return LatentCodec(Bands(pixels, options.factor, 0.5), torch.zeros(channels), torch.eye(channels), build(options))


def test_latents_have_the_shape_that_the_codec_promises() -> None:
    codec = latent_codec(LatentOptions(ae_channels=(8, 16, 16), patch=2))
    x = torch.randn(2, 3, 30, 40)
    assert codec.encode(x).shape[1:] == codec.code_shape((30, 40)) == (7, 4, 6)
    assert codec.decode(codec.encode(x), (30, 40)).shape == x.shape


def test_codes_that_reduce_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="use ddpm, or patch 2"):
        LatentOptions(patch=1, ae_channels=(16,))


@pytest.mark.parametrize("size", [(16, 16), (28, 20), (17, 30)])
@pytest.mark.parametrize(("patch", "factor"), [(1, 2), (2, 4), (4, 4)])
def test_coarse_colours_and_detail_together_are_the_image(size: tuple[int, int], patch: int, factor: int) -> None:
    x = torch.rand(6, 3, *size) * 2 - 1
    bands = Bands.measured(PixelCodec.measured(x, patch, factor // patch), factor, x)
    coarse, detail = bands.split(x)
    torch.testing.assert_close(bands.join(coarse, detail, size), x)
    assert float(detail.std()) == pytest.approx(1.0, abs=1e-4)
    assert coarse.shape[2] * factor == -(-size[0] // factor) * factor


def test_a_change_of_hue_passes_even_an_untrained_autoencoder() -> None:
    """It is in the coarse colours alone, so that the autoencoder never sees it."""
    codec = latent_codec(LatentOptions(ae_channels=(8, 16)))
    x, hue = torch.rand(4, 3, 32, 32) - 0.5, torch.tensor([0.3, -0.1, 0.2]).view(1, 3, 1, 1)
    before, after = (codec.decode(codec.encode(images), (32, 32)) for images in (x, x + hue))
    torch.testing.assert_close(after - before, hue.expand_as(x), rtol=0, atol=1e-4)


def test_whitened_codes_have_the_identity_for_covariance() -> None:
    mixing = torch.tensor([[1.0, 0.9, 0.8], [0.0, 0.3, 0.2], [0.0, 0.0, 0.1]])
    z = torch.einsum("ij,bjhw->bihw", mixing.T, torch.randn(200, 3, 8, 8)) + torch.tensor([1.0, -2.0, 3.0]).view(
        3, 1, 1
    )
    mean, matrix = whitening_of(z)
    rows = (z.permute(0, 2, 3, 1).reshape(-1, 3) - mean) @ matrix.T
    torch.testing.assert_close(torch.cov(rows.T, correction=0), torch.eye(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(matrix, matrix.T)


def test_a_direction_without_content_is_not_blown_up() -> None:
    one = torch.randn(50, 1, 4, 4)
    matrix = whitening_of(torch.cat([one, one, torch.zeros_like(one)], dim=1))[1]
    assert torch.isfinite(matrix).all()
    largest = 2.0 * float(one.var(correction=0))
    assert float(matrix.abs().max()) == pytest.approx((1e-4 * largest) ** -0.5, rel=1e-3)
    assert torch.equal(whitening_of(torch.zeros(5, 3, 2, 2))[1], torch.eye(3))
