"""DCGAN: the contract in both forms, shapes as in the paper, batch norm that does not look at its batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.capabilities import CanEstimate, CanMapLatents
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import DataError, StageError
from bench.testing import GeneratorContract, tiny_images
from generators._dcgan.networks import ClassNorm, Discriminator, Generator
from generators.dcgan import DCGAN


class TestContract(GeneratorContract):
    """A pair of networks for every class."""

    plugin = DCGAN
    options = {"classes": "separate"}


class TestConditionalContract(GeneratorContract):
    """One pair that is told the label, with the kernel of the paper and without an average."""

    plugin = DCGAN
    options = {"classes": "conditional", "kernel": 5, "ema": 0.0}


def fitted(folder: Path, train: Images, **options: Any) -> DCGAN:
    generator = DCGAN(DCGAN.Config(**{**DCGAN.presets["smoke"], **options}))
    generator.fit(train, StageContext(0, folder))
    return generator


def test_networks_of_the_paper_at_64_pixels() -> None:
    """Figure 1: 1024, 512, 256 and 128 maps at 4, 8, 16 and 32 pixels, kernels of 5."""
    widths = DCGAN.Config(**DCGAN.presets["paper"]).widths(64)
    assert widths == [1024, 512, 256, 128]
    generator, discriminator = Generator(100, widths, 5, 0), Discriminator(widths, 5, 0)
    norms = 2 * sum(widths)
    weights = 100 * 1024 * 16 + 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3) + 3
    assert sum(p.numel() for p in generator.parameters()) == weights + norms
    z, y = torch.randn(2, 100), torch.zeros(2, dtype=torch.int64)
    assert generator(z, y).shape == (2, 3, 64, 64)
    assert discriminator(generator(z, y), y).shape == (2,)


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("side", [16, 256])
def test_every_size_comes_out(kernel: int, side: int) -> None:
    widths = DCGAN.Config(channels=2, most_channels=8).widths(side)
    generator, y = Generator(5, widths, kernel, 3), torch.tensor([0, 2])
    assert generator(torch.randn(2, 5), y).shape == (2, 3, side, side)


@pytest.mark.parametrize("size", [24, 512])
def test_other_sizes_are_refused_before_training(size: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"square images of 16, 32, 64, 128, 256 pixels, .* {size} x {size}: choose"):
        fitted(tmp_path, tiny_images(2, size))


@pytest.mark.parametrize("classes", ["separate", "conditional"])
def test_images_show_their_class(classes: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(64, dtype=np.int64) % 2
    level = np.where(labels == 0, 200, 60)[:, None, None, None]
    pixels = (level + rng.integers(-15, 15, (64, 16, 16, 3))).astype(np.uint8)
    names = np.array([f"i{i}" for i in range(64)])
    train = Images(pixels, labels, names, names, ("light", "dark"))
    drawn = fitted(tmp_path, train, classes=classes, steps=400, lr=1e-3).sample(labels, StageContext(1, tmp_path))
    light, dark = (drawn[labels == k].mean((1, 2, 3)) for k in (0, 1))
    assert light.min() > dark.max() + 60


def test_latents_decide_the_image_and_near_ones_give_near_images(tmp_path: Path) -> None:
    generator, ctx = fitted(tmp_path, tiny_images(20)), StageContext(0, tmp_path)
    assert isinstance(generator, CanMapLatents)
    assert isinstance(generator, CanEstimate)
    z = np.random.default_rng(2).standard_normal((5, generator.latent_size)).astype(np.float32)
    labels = np.array([0, 1, 0, 1, 1])
    whole = generator.render_latents(z, labels, ctx)
    assert whole.shape == (5, 16, 16, 3)
    assert whole.dtype == np.float32
    for i in range(5):
        np.testing.assert_array_equal(generator.render_latents(z[i : i + 1], labels[i : i + 1], ctx)[0], whole[i])
    near = generator.render_latents(z + np.float32(1e-4), labels, ctx)
    far = generator.render_latents(-z, labels, ctx)
    assert 0 < np.abs(near - whole).mean() < 0.01 * np.abs(far - whole).mean()
    with pytest.raises(DataError, match=r"latents have shape \(5, 3\), expected \(5, 16\)"):
        generator.render_latents(z[:, :3], labels, ctx)


def test_batch_norm_is_settled_on_latents_of_the_kept_weights(tmp_path: Path) -> None:
    """Statistics stored with the average are those its own activations have over many latents."""
    network = fitted(tmp_path, tiny_images(20), classes="separate").model.network[0]  # type: ignore[index]
    assert isinstance(network, Generator)
    with torch.no_grad():
        first = network.layers[0](torch.randn(4096, 16, generator=torch.Generator().manual_seed(3))[:, :, None, None])
    norm: Any = network.layers[1]
    assert torch.allclose(norm.running_var, first.var((0, 2, 3)), rtol=0.15)
    assert (norm.running_mean - first.mean((0, 2, 3))).abs().max() < 0.15 * first.std()


def test_one_pair_gives_every_class_its_own_variety(tmp_path: Path) -> None:
    """One pair once drew one image a class: here both classes keep a spread near that of their training images."""
    rng = np.random.default_rng(0)
    labels = np.arange(128, dtype=np.int64) % 2
    level = np.where(labels == 0, 190, 90) + rng.normal(0, 20, 128)
    pixels = np.clip(level[:, None, None, None] + rng.normal(0, 5, (128, 16, 16, 3)), 0, 255).astype(np.uint8)
    names = np.array([f"i{i}" for i in range(128)])
    train = Images(pixels, labels, names, names, ("light", "dark"))
    drawn = fitted(tmp_path, train, steps=400, lr=1e-3).sample(labels, StageContext(1, tmp_path))
    for k in (0, 1):
        real, made = (x[labels == k].mean((1, 2, 3)).std() for x in (pixels, drawn))
        assert 0.4 * real < made < 2 * real


def test_the_discriminator_is_told_the_class_and_the_generator_in_every_norm() -> None:
    torch.manual_seed(0)
    generator, discriminator = Generator(8, [16, 8], 4, 3), Discriminator([16, 8], 4, 3)
    assert sum(isinstance(m, ClassNorm) for m in generator.layers) == 2
    assert discriminator.features[0].in_channels == 3 + 3
    z, x = torch.randn(6, 8), torch.rand(6, 3, 16, 16)
    one, other = torch.zeros(6, dtype=torch.int64), torch.full((6,), 2)
    assert not torch.equal(generator(z, one), generator(z, other))
    assert not torch.equal(discriminator(x, one), discriminator(x, other))


def test_sampling_before_fitting_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="DCGAN is not fitted yet: call fit or load first"):
        DCGAN().sample(np.array([0]), StageContext(0, tmp_path))


def test_presets_cost_more_from_one_to_the_next() -> None:
    sizes = {"smoke": 16, "cpu": 32, "gpu": 64, "paper": 256}
    assert set(DCGAN.presets) == set(sizes)
    costs = [DCGAN(DCGAN.Config(**DCGAN.presets[p])).cost(1000, size) for p, size in sizes.items()]
    assert [c.flops for c in costs] == sorted(c.flops for c in costs)


def test_stated_work_is_that_of_the_layers() -> None:
    """Multiply-adds of one generator pass, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    from generators._dcgan.cost import DISCRIMINATOR_PASSES, GENERATOR_PASSES, dcgan_cost

    widths = [32, 16, 8]
    with FlopCounterMode(display=False) as of_g:
        x = Generator(10, widths, 4, 0)(torch.randn(1, 10), torch.zeros(1, dtype=torch.int64))
    with FlopCounterMode(display=False) as of_d:
        Discriminator(widths, 4, 0)(x, torch.zeros(1, dtype=torch.int64))
    expected = GENERATOR_PASSES * of_g.get_total_flops() + DISCRIMINATOR_PASSES * of_d.get_total_flops()
    assert dcgan_cost(1, 1, 10, widths, 4, 1, averaged=False).flops == pytest.approx(expected, rel=0.01)
