"""Networks and losses: shapes, receptive field, what normalisation forgets, losses by hand, cost by count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from generators.pix2pixhd.cost import critic_tally, painter_tally
from generators.pix2pixhd.losses import adversarial_loss, discriminator_loss, feature_matching_loss
from generators.pix2pixhd.networks import (
    GlobalGenerator,
    MultiscaleDiscriminator,
    PatchDiscriminator,
    StyleEncoder,
    build_discriminator,
    build_generator,
)
from generators.pix2pixhd.options import Pix2PixHDOptions, learning_rate_factor
from generators.pix2pixhd.training import Painter

SMALL = {"widths": (8, 12, 16), "blocks": 2, "critic_widths": (8, 12, 16), "styles": 3}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("enhancer", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (33, 38)])
def test_painter_gives_images_of_the_size_of_the_map(enhancer: bool, size: tuple[int, int]) -> None:
    painter = Painter(Pix2PixHDOptions(enhancer=enhancer, label=enhancer, **SMALL), mask_channels=2, num_classes=3)
    semantic = (torch.rand(2, painter.channels, *size) > 0.5).float()
    styles = painter.styles(torch.rand(2, 3, *size), semantic)
    assert styles.shape == (2, 9)
    image = painter(semantic, torch.tensor([0, 2]), styles)
    assert image.shape == (2, 3, *size)
    assert image.abs().max() < 1


def test_a_constant_channel_has_no_effect_but_the_condition_has() -> None:
    generator = GlobalGenerator(4, 2, (8, 12), 1)
    x = torch.randn(1, 4, 16, 16)
    brighter = x.clone()
    brighter[:, 3] += 1.0
    c = torch.tensor([[1.0, 0.0]])
    torch.testing.assert_close(generator(x, c), generator(brighter, c), atol=1e-5, rtol=0)
    for module in generator.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight)
    assert (generator(x, c) - generator(x, c.flip(1))).abs().max() > 0.01


def test_enhancer_adds_to_the_features_of_the_global_generator() -> None:
    generator = build_generator(Pix2PixHDOptions(enhancer=True, label=True, **SMALL), 3, 2)
    x, c = torch.randn(1, 6, 32, 32), torch.randn(1, 9 + 2)
    half = torch.nn.functional.avg_pool2d(x, 2)
    assert generator.inner.features(half, c).shape == generator.front(x, c).shape == (1, 8, 16, 16)
    before = generator(x, c)
    nn.init.normal_(generator.inner.body.layers[0].conv.weight)
    assert not torch.equal(before, generator(x, c))


def test_a_logit_sees_70_pixels() -> None:
    critic = PatchDiscriminator(3, (64, 128, 256, 512))
    x = torch.zeros(1, 3, 192, 192, requires_grad=True)
    y: Tensor = x
    for conv in (*critic.convs, critic.logit):  # without the normalisation, which sees the whole image
        y = conv(y)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


def test_scales_see_the_image_at_half_its_size() -> None:
    critic = MultiscaleDiscriminator(4, (8, 12), 3)
    found = critic(torch.randn(2, 4, 32, 32))
    assert [len(scale) for scale in found] == [3, 3, 3]
    assert [scale[0].shape[-1] for scale in found] == [17, 9, 5]
    flat = torch.ones(1, 4, 16, 16)
    pooled = torch.nn.functional.avg_pool2d(flat, 3, stride=2, padding=1, count_include_pad=False)
    assert torch.equal(pooled, torch.ones(1, 4, 8, 8))  # no dark frame from the padding


def test_styles_are_means_over_regions() -> None:
    encoder = StyleEncoder(3)
    image = torch.rand(1, 3, 24, 24)
    where = torch.zeros(1, 3, 24, 24)
    where[:, 0, :, :8], where[:, 2, :, 16:] = 1.0, 1.0
    found = encoder(image, where).view(3, 3)
    dense = encoder.layers(image)[0]
    torch.testing.assert_close(found[0], dense[:, :, :8].mean(dim=(1, 2)))
    torch.testing.assert_close(found[2], dense[:, :, 16:].mean(dim=(1, 2)))
    assert not found[1].any()
    brighter = encoder((image + 0.5), where).view(3, 3)
    assert (brighter - found)[0].abs().max() > 1e-3  # absolute colour is not normalised away


def test_losses_by_hand() -> None:
    real = [[torch.tensor([1.0, 3.0]), torch.tensor([1.0, 0.0])], [torch.tensor([2.0]), torch.tensor([0.5])]]
    fake = [[torch.tensor([2.0, 5.0]), torch.tensor([0.0, 2.0])], [torch.tensor([0.0]), torch.tensor([1.0])]]
    # scale 1: (0 + 1) / 2 for real, (0 + 4) / 2 for fake; scale 2: 0.25 and 1
    assert discriminator_loss(real, fake).item() == pytest.approx(0.5 * (0.5 + 2.0 + 0.25 + 1.0))
    assert adversarial_loss(fake).item() == pytest.approx((1.0 + 1.0) / 2 + 0.0)
    assert feature_matching_loss(real, fake).item() == pytest.approx((1.0 + 2.0) / 2 + 2.0)


def test_feature_matching_moves_the_fake_alone() -> None:
    real, fake = torch.ones(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    feature_matching_loss([[real, real]], [[fake, fake]]).backward()
    assert real.grad is None
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, torch.full((3,), -1 / 3))


def test_rate_is_constant_then_falls_to_zero() -> None:
    rates = [learning_rate_factor(i, 200, 0.5) for i in range(200)]
    assert rates[:101] == [1.0] * 101
    assert rates[150] == 0.5
    assert 0 < rates[-1] == pytest.approx(0.01)
    np.testing.assert_allclose(np.diff(rates[100:]), -0.01)
    assert {learning_rate_factor(i, 10, 1.0) for i in range(10)} == {1.0}


@pytest.mark.parametrize(
    "options", [{}, {"enhancer": True}, {"instances": "none", "styles": 0, "label": True}], ids=str
)
def test_stated_cost_is_that_of_the_networks(options: dict[str, object]) -> None:
    config = Pix2PixHDOptions(**{**SMALL, **options})
    painter = Painter(config, mask_channels=1, num_classes=2)
    critic = build_discriminator(config, painter.channels, 2)
    semantic = (torch.rand(1, painter.channels, 64, 64) > 0.5).float()
    image = torch.rand(1, 3, 64, 64)
    with FlopCounterMode(display=False) as counted:
        painter(semantic, torch.zeros(1, dtype=torch.int64), painter.styles(image, semantic))
    assert 2 * painter_tally(config, 64).macs == pytest.approx(counted.get_total_flops(), rel=0.02)
    norms = sum(parameters(m) for m in painter.modules() if isinstance(m, nn.Linear))
    assert painter_tally(config, 64).parameters == parameters(painter) - norms
    with FlopCounterMode(display=False) as counted:
        critic(torch.cat([semantic, torch.zeros(1, painter.told, 64, 64), image], dim=1))
    assert 2 * critic_tally(config, 64).macs == pytest.approx(counted.get_total_flops(), rel=0.02)
