"""PGGAN: the contract, growth step by step, layers against their formulas, the gradient penalty in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.capabilities import CanEstimate, CanMapLatents
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import DataError, StageError
from bench.testing import GeneratorContract, tiny_images
from bench.testkit import KilledError, RehearsalContext
from bench.training.accumulation import MicroBatches
from generators._gan.variety import minibatch_stddev
from generators._pggan.growth import Growth, Stage
from generators._pggan.networks import (
    FIRST_SPREAD,
    Critic,
    Equalised,
    Generator,
    enlarged,
    pixel_norm,
)
from generators._pggan.training import gradient_penalty, share_of_rate, shown
from generators.pggan import PGGAN
from tests.worlds import discs


class TestContract(GeneratorContract):
    """What every generator owes, at 16 px: three levels of growth."""

    plugin = PGGAN


def test_growth_visits_every_level_once_and_fades_all_but_the_first() -> None:
    growth = Growth(32, fade=4, stable=3, final=6)
    stages = [growth.at(i) for i in range(growth.steps)]
    assert growth.steps == 3 + 2 * (4 + 3) + (4 + 6)
    assert [s.side for s in stages] == [4] * 3 + [8] * 7 + [16] * 7 + [32] * 10
    assert [s.alpha for s in stages[3:10]] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]
    assert [growth.within(i) for i in range(growth.steps)] == [*range(3), *range(7), *range(7), *range(10)]
    assert [sum(s.level == k for s in stages) for k in range(4)] == [growth.steps_at(k) for k in range(4)]
    sudden = Growth(16, fade=0, stable=5, final=5)
    assert [sudden.at(i) for i in range(5, 15)] == [Stage(1, 1.0)] * 5 + [Stage(2, 1.0)] * 5


def test_rates_rise_with_each_level_and_fall_to_a_tenth_over_the_last_steps() -> None:
    growth = Growth(8, 10, 45, 45)  # 45 steps at 4 pixels, 55 at 8
    assert [share_of_rate(i, growth, 0, 0) for i in (0, 45, 50, 99)] == [1.0] * 4
    assert [share_of_rate(i, growth, 0, 10) for i in (0, 89, 90)] == [1.0] * 3
    assert [share_of_rate(i, growth, 0, 10) for i in (95, 99)] == pytest.approx([0.55, 0.19])
    rising = [share_of_rate(i, growth, 4, 0) for i in (0, 1, 3, 44, 45, 46, 48, 99)]
    assert rising == [0.25, 0.5, 1.0, 1.0, 0.25, 0.5, 1.0, 1.0]
    assert share_of_rate(95, growth, 100, 10) == pytest.approx(0.55 * 0.51)


def test_both_rates_fall_at_the_end_of_training_and_not_before(tmp_path: Path, monkeypatch: Any) -> None:
    """Never over more than the last level: 100 asked for, 6 given."""
    used, update = [], MicroBatches.update

    def seen(micro: MicroBatches, optimiser: torch.optim.Optimizer, losses: Any) -> Any:
        used.append(optimiser.param_groups[0]["lr"])
        return update(micro, optimiser, losses)

    monkeypatch.setattr(MicroBatches, "update", seen)
    options = {"fade": 0, "stable": 3, "final": 6, "rising": 0, "falling": 100, "lr": 1e-4, "critic_lr": 1e-3}
    fit(tiny_images(12), StageContext(0, tmp_path), **options)
    share = np.array([1.0] * 6 + [1.0, 0.85, 0.7, 0.55, 0.4, 0.25])
    np.testing.assert_allclose(used[0::2], 1e-3 * share)
    np.testing.assert_allclose(used[1::2], 1e-4 * share)


def test_a_level_that_fades_in_begins_as_the_level_below_enlarged() -> None:
    torch.manual_seed(0)
    generator, critic = Generator(6, [8, 8, 4], 2), Critic([8, 8, 4], 2)
    z, y = torch.randn(4, 6), torch.tensor([0, 1, 1, 0])
    below = generator(z, y, Stage(1, 1.0))
    assert torch.allclose(generator(z, y, Stage(2, 0.0)), enlarged(below))
    assert torch.allclose(critic(enlarged(below), y, Stage(2, 0.0)), critic(below, y, Stage(1, 1.0)), atol=1e-6)
    assert torch.equal(generator(z, y), generator(z, y, Stage(2, 1.0)))
    assert generator(z, y).shape == (4, 3, 16, 16)


def test_real_images_are_shown_as_sharp_as_the_generator_can_be() -> None:
    x = torch.rand(2, 3, 16, 16)
    halved = shown(x, 16, Stage(1, 1.0))
    assert torch.allclose(halved, x.view(2, 3, 8, 2, 8, 2).mean(dim=(3, 5)))
    assert torch.allclose(shown(x, 16, Stage(2, 0.25)), 0.75 * enlarged(halved) + 0.25 * x)
    assert torch.equal(shown(x, 16, Stage(2, 1.0)), x)


def test_layers_by_their_formulas() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 5, 3, 3)
    assert torch.allclose(pixel_norm(x).square().mean(dim=1), torch.ones(8, 3, 3), atol=1e-5)
    layer = Equalised(200, 300, 3, 1)
    assert layer.weight.std().item() == pytest.approx(1.0, abs=0.02)
    assert layer(torch.randn(2, 200, 16, 16)).std().item() == pytest.approx(2**0.5, rel=0.05)
    assert minibatch_stddev(x[:1].expand(4, -1, -1, -1), 4)[:, 5].max() < 1e-3


@pytest.mark.parametrize(("group", "size"), [(4, 4), (8, 8), (32, 8), (3, 2)])
def test_variety_is_the_deviation_over_groups(group: int, size: int) -> None:
    """Of the largest size that divides the batch; images that the critic sees together are told the same."""
    torch.manual_seed(0)
    x = torch.randn(8, 5, 3, 3)
    groups = [x[i :: 8 // size] for i in range(8 // size)]
    spreads = torch.stack([g.std(dim=0, correction=0).mean() for g in groups]).repeat(size)
    found = minibatch_stddev(x, group)
    assert torch.equal(found[:, :5], x)
    assert torch.allclose(found[:, 5, 0, 0], spreads, atol=1e-6)
    critic, y = Critic([6, 4], 2, group), torch.zeros(8, dtype=torch.int64)
    images = torch.randn(8, 3, 8, 8)
    other = images.clone()
    other[8 // size] = 0.0  # in the group of image 0
    changed = critic(images, y, Stage(1, 1.0)) - critic(other, y, Stage(1, 1.0))
    assert changed[0].abs() > 1e-6
    assert changed[1].abs() < 1e-7 or size == 8


class Slope(nn.Module):
    """A critic whose gradient is ``a`` everywhere."""

    def __init__(self, a: torch.Tensor) -> None:
        super().__init__()
        self.a = nn.Parameter(a)

    def forward(self, x: torch.Tensor, y: torch.Tensor, stage: Stage) -> torch.Tensor:
        return (x * self.a).flatten(1).sum(dim=1)


def test_gradient_penalty_of_a_linear_critic_and_its_derivative() -> None:
    a = torch.randn(3, 4, 4, dtype=torch.float64)
    critic, real = Slope(a), torch.randn(4, 3, 4, 4, dtype=torch.float64)
    mix, y = torch.rand(4, 1, 1, 1, dtype=torch.float64), torch.zeros(4, dtype=torch.int64)
    found = gradient_penalty(critic, real, -real, y, Stage(0, 1.0), mix)
    length = a.norm()
    assert found.item() == pytest.approx(((length - 1) ** 2).item())
    found.backward()  # type: ignore[no-untyped-call]
    assert critic.a.grad is not None
    assert torch.allclose(critic.a.grad, 2 * (length - 1) * a / length)


def test_gradient_penalty_of_the_network_against_finite_differences() -> None:
    torch.manual_seed(1)
    critic, stage = Critic([6, 4], 2).double(), Stage(1, 0.5)
    real, fake = torch.randn(2, 4, 3, 8, 8, dtype=torch.float64)
    y, mix = torch.tensor([0, 1, 0, 1]), torch.rand(4, 1, 1, 1, dtype=torch.float64)

    def penalty() -> torch.Tensor:
        return gradient_penalty(critic, real, fake, y, stage, mix)

    penalty().backward()  # type: ignore[no-untyped-call]
    layers: Any = [critic.blocks[0][0], critic.last[0]]  # type: ignore[index]
    for weight in (critic.from_rgb[1].weight, layers[0].weight, layers[1].weight):
        flat, eps = weight.data.view(-1), 1e-6
        before = flat[3].item()
        flat[3] = before + eps
        high = penalty().item()
        flat[3] = before - eps
        low = penalty().item()
        flat[3] = before
        assert weight.grad.view(-1)[3].item() == pytest.approx((high - low) / (2 * eps), rel=1e-4, abs=1e-7)


def fit(train: Images, ctx: StageContext, **options: Any) -> PGGAN:
    generator = PGGAN(PGGAN.Config(**{**PGGAN.presets["smoke"], **options}))
    generator.fit(train, ctx)
    return generator


@pytest.mark.parametrize("store_at", [2, 6, 9, 17])
def test_a_kill_in_any_stage_of_growth_changes_no_bit(store_at: int, tmp_path: Path) -> None:
    """Before, while and after a level fades in, where Adam has seen some of the weights and not others."""
    train, labels = tiny_images(12), np.array([0, 1, 1, 0])
    whole = fit(train, RehearsalContext(tmp_path / "whole"), critic_steps=2)
    with pytest.raises(KilledError):
        fit(train, RehearsalContext(tmp_path / "part", store_at=store_at), critic_steps=2)
    ctx = RehearsalContext(tmp_path / "part")
    resumed = fit(train, ctx, critic_steps=2)
    assert ctx.resumed_at == store_at
    for name, weight in whole.model.network.state_dict().items():
        assert torch.equal(weight, resumed.model.network.state_dict()[name]), name
    one, other = (g.sample(labels, StageContext(1, tmp_path)) for g in (whole, resumed))
    np.testing.assert_array_equal(one, other)


def test_images_show_their_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(64, dtype=np.int64) % 2
    level = np.where(labels == 0, 200, 60)[:, None, None, None]
    pixels = (level + rng.integers(-15, 15, (64, 8, 8, 3))).astype(np.uint8)
    names = np.array([f"i{i}" for i in range(64)])
    train = Images(pixels, labels, names, names, ("light", "dark"))
    generator = fit(train, StageContext(0, tmp_path), fade=40, stable=120, final=120, lr=3e-3, critic_lr=3e-3)
    drawn = generator.sample(labels, StageContext(1, tmp_path))
    light, dark = (drawn[labels == k].mean((1, 2, 3)) for k in (0, 1))
    assert light.min() > dark.max() + 40


def test_latents_decide_the_image(tmp_path: Path) -> None:
    generator, ctx = fit(tiny_images(12), StageContext(0, tmp_path)), StageContext(0, tmp_path)
    assert isinstance(generator, CanMapLatents)
    assert isinstance(generator, CanEstimate)
    z = np.random.default_rng(2).standard_normal((3, generator.latent_size)).astype(np.float32)
    whole = generator.render_latents(z, np.array([0, 1, 1]), ctx)
    np.testing.assert_array_equal(generator.render_latents(z[1:], np.array([1, 1]), ctx), whole[1:])
    assert np.abs(generator.render_latents(z, np.array([1, 1, 1]), ctx)[0] - whole[0]).max() > 0, "the label counts"


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pggan makes square images of 8, 16, 32, 64, 128, 256 pixels"):
        fit(tiny_images(2, 24), StageContext(0, tmp_path))
    with pytest.raises(StageError, match="PGGAN is not fitted yet"):
        PGGAN().sample(np.array([0]), StageContext(0, tmp_path))


def test_widths_of_the_paper() -> None:
    """Table 2: 512 maps up to 32 pixels, then half as many at every doubling."""
    assert PGGAN.Config(**PGGAN.presets["paper"]).widths(256) == [512, 512, 512, 512, 256, 128, 64]


def test_presets_cost_more_from_one_to_the_next() -> None:
    sizes = {"smoke": 16, "cpu": 32, "gpu": 64, "paper": 256}
    assert set(PGGAN.presets) == set(sizes)
    costs = [PGGAN(PGGAN.Config(**PGGAN.presets[p])).cost(1000, size) for p, size in sizes.items()]
    assert [c.flops for c in costs] == sorted(c.flops for c in costs)


def test_stated_work_is_that_of_the_layers() -> None:
    """Multiply-adds of forward passes at full size, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    from generators._pggan.cost import OF_CRITIC, OF_GENERATOR, pggan_cost

    widths, y = [16, 16, 8], torch.zeros(4, dtype=torch.int64)
    with FlopCounterMode(display=False) as of_g:
        x = Generator(10, widths, 2)(torch.randn(4, 10), y)
    with FlopCounterMode(display=False) as of_d:
        Critic(widths, 2)(x, y, Stage(2, 1.0))
    step = [a + b for a, b in zip(OF_CRITIC, OF_GENERATOR, strict=True)]
    expected = step[0] * of_g.get_total_flops() + step[1] * of_d.get_total_flops()
    costs = [pggan_cost(Growth(16, 0, n, n), widths, 10, 4, 1).flops for n in (1, 2)]
    below = sum(pggan_cost(Growth(side, 0, 1, 1), widths, 10, 4, 1).flops for side in (8,))
    assert costs[1] == 2 * costs[0]
    assert costs[0] - below == pytest.approx(expected, rel=0.05)


def test_untrained_images_are_as_varied_as_real_ones() -> None:
    spreads = []
    for seed in range(10):
        torch.manual_seed(seed)
        generator = Generator(64, [64, 32, 16], 2)
        with torch.no_grad():
            spreads.append(generator(torch.randn(64, 64), torch.arange(64) % 2).std().item())
    assert np.mean(spreads) == pytest.approx(FIRST_SPREAD, rel=0.15)


@pytest.mark.slow
def test_brightness_stays_varied(tmp_path: Path) -> None:
    """At the rates of the preset; with equal rates and a penalty of 10 a tenth of the spread is left."""
    train = discs(400, 0, size=8)
    preset = PGGAN.Config()
    rates = {"lr": preset.lr, "critic_lr": preset.critic_lr, "penalty": preset.penalty}
    generator = fit(
        train, StageContext(0, tmp_path), fade=100, stable=250, final=250, batch=16, channels=32, most_channels=64,
        latent=32, ema=0.98, **rates
    )  # fmt: skip
    drawn = generator.sample(train.labels, StageContext(1, tmp_path))
    spread, real = (x.mean((1, 2, 3)).std() for x in (drawn, np.asarray(train.pixels)))
    print(f"SD of brightness: {spread:.1f} of {real:.1f}")
    assert spread > 0.4 * real
