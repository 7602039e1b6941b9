"""Filters and modulated convolution against direct slow references in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from generators._gan.variety import minibatch_stddev
from generators.stylegan2_ada import ops
from tests.generators.stylegan2_ada.slow import KERNEL, convolved, slow_modulated, zeros_between


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("side", [3, 4])
def test_filters_are_convolutions_with_1331(side: int) -> None:
    x, f = rand(2, 3, side, side), ops.resample_filter().double()
    assert f.numpy() == pytest.approx(KERNEL)
    blurred = ops.filter2d(x, f, padding=2)
    halved = ops.filter2d(x, f, down=2, padding=1)
    doubled = ops.upsample2d(x, f)
    for b in range(2):
        for c in range(3):
            m = x[b, c].numpy()
            np.testing.assert_allclose(blurred[b, c], convolved(m, KERNEL, 2, 2), atol=1e-12)
            np.testing.assert_allclose(halved[b, c], convolved(m, KERNEL, 1, 1, down=2), atol=1e-12)
            np.testing.assert_allclose(doubled[b, c], convolved(zeros_between(m), 4 * KERNEL, 2, 1), atol=1e-12)


def test_doubling_keeps_a_constant_inside() -> None:
    doubled = ops.upsample2d(torch.full((1, 2, 6, 6), 3.0, dtype=torch.float64), ops.resample_filter().double())
    np.testing.assert_allclose(doubled[..., 1:-1, 1:-1], 3.0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_conv_down_filters_before_it_drops(k: int) -> None:
    x, w, f = rand(2, 3, 6, 6), rand(4, 3, k, k, seed=1), ops.resample_filter().double()
    y = ops.conv_down2d(x, w, f, torch.arange(4.0).double())
    assert y.shape == (2, 4, 3, 3)
    for b in range(2):
        for o in range(4):
            maps = []
            for i in range(3):
                pad = 2 if k == 3 else 1
                blurred = convolved(x[b, i].numpy(), KERNEL, pad, pad)
                maps.append(convolved(blurred, w[o, i].numpy()[::-1, ::-1], 0, 0, down=2))
            np.testing.assert_allclose(y[b, o], sum(maps) + o, atol=1e-12)


@pytest.mark.parametrize("form", ["scale", "grouped"])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulated_convolution_is_its_definition(form: ops.Form, up: bool, demodulate: bool) -> None:
    x, w, s = rand(3, 4, 5, 5), rand(2, 4, 3, 3, seed=1), rand(3, 4, seed=2)
    side = 10 if up else 5
    noise, bias = rand(3, 1, side, side, seed=3), rand(2, seed=4)
    f = ops.resample_filter().double()
    fast = ops.modulated_conv2d(x, w, s, demodulate=demodulate, up=up, f=f, noise=noise, bias=bias, gain=1.5, form=form)
    slow = slow_modulated(x.numpy(), w.numpy(), s.numpy(), demodulate=demodulate, up=up)
    expected = 1.5 * (slow + noise.numpy() + bias.numpy()[:, None, None])
    np.testing.assert_allclose(fast, expected, atol=1e-10)


def test_both_forms_have_the_same_gradients() -> None:
    f = ops.resample_filter().double()
    found = {}
    for form in ("scale", "grouped"):
        x, w, s = (t.requires_grad_() for t in (rand(3, 4, 5, 5), rand(2, 4, 3, 3, seed=1), rand(3, 4, seed=2)))
        y = ops.modulated_conv2d(x, w, s, up=True, f=f, form=form)  # type: ignore[arg-type]
        found[form] = torch.autograd.grad(y.square().sum(), (x, w, s))
    for one, other in zip(found["scale"], found["grouped"], strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-8)


def test_demodulated_maps_have_unit_variance() -> None:
    x = torch.randn(2, 64, 32, 32, generator=torch.Generator().manual_seed(0))
    y = ops.modulated_conv2d(x, 7 * torch.randn(16, 64, 3, 3), 3 * torch.randn(2, 64))
    assert float(y[..., 1:-1, 1:-1].std()) == pytest.approx(1.0, abs=0.05)


def test_activation_keeps_the_second_moment_of_noise() -> None:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    y = ops.activate(x * math.sqrt(2.0))
    np.testing.assert_allclose(y, math.sqrt(2.0) * torch.where(x > 0, x, 0.2 * x), rtol=1e-5)
    assert float(y.square().mean()) == pytest.approx(1.04, abs=0.02)
    assert float(ops.activate(torch.tensor([100.0, -100.0]), 3.0).abs().max()) == 3.0


def test_minibatch_deviation_is_over_interleaved_groups() -> None:
    x = rand(6, 2, 3, 3)
    y = minibatch_stddev(x, 4)  # 4 does not divide 6: groups of 3, so 2 groups
    assert y.shape == (6, 3, 3, 3)
    for g in range(2):
        members = x[g::2].numpy()
        expected = np.sqrt(members.var(0) + 1e-8).mean()
        np.testing.assert_allclose(y[g::2, 2], expected, rtol=1e-5)
    torch.testing.assert_close(y[:, :2], x)
