"""Noise schedules, averages of weights, and the ways between noise and code, against formulas and diffusers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from generators._diffusion.averaging import PowerEma, averaged, power_exponent, power_width
from generators._diffusion.noise import (
    ForwardProcess,
    build_scheduler,
    level_timesteps,
    sigmoid_betas,
    trailing_timesteps,
)
from generators._diffusion.options import DiffusionOptions
from generators._diffusion.sampling import Flow, Predict, ddim, ddim_inverse, denoised, heun
from tests.generators.gaussian import MEANS, GaussianDenoiser

KINDS = [("v", "cosine"), ("v", "sigmoid"), ("x0", "sigmoid"), ("x0", "cosine"), ("epsilon", "linear")]


def ideal(options: DiffusionOptions, label: int = 0) -> tuple[GaussianDenoiser, Predict]:
    """The ideal denoiser of a Gaussian, and its v told as the options' kind of prediction."""
    unet, v_options = GaussianDenoiser(options), options.model_copy(update={"prediction": "v"})
    process, told = ForwardProcess(v_options), ForwardProcess(options)

    def predict(z: Tensor, t: Tensor) -> Tensor:
        v = unet(z, t, torch.full((len(z),), label)).sample
        z_0 = process.clean(z, v, t)
        return told.target(z_0, (z - process.alpha[t] * z_0) / process.sigma[t], t)

    return unet, predict


def test_sigmoid_schedule_is_that_of_the_paper() -> None:
    process = ForwardProcess(DiffusionOptions(schedule="sigmoid"))
    u = torch.arange(1, 1001, dtype=torch.float64) / 1000
    low, high = torch.tensor(-3.0).double().sigmoid(), torch.tensor(3.0).double().sigmoid()
    abar = (high - (-3 + 6 * u).sigmoid()) / (high - low)
    torch.testing.assert_close(process.alpha.double()[:-1], abar.sqrt()[:-1], rtol=0, atol=1e-4)
    assert sigmoid_betas(1000)[-1] == 0.999


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "cosine", "sigmoid"])
def test_zero_terminal_snr_keeps_the_start_and_ends_in_noise(schedule: Any) -> None:
    """Lin et al. 2023, algorithm 1: sqrt(abar) shifted to end at 0 and scaled to begin where it began."""
    plain = ForwardProcess(DiffusionOptions(schedule=schedule, prediction="v")).alpha.double()
    found = ForwardProcess(DiffusionOptions(schedule=schedule, prediction="v", zero_terminal_snr=True))
    expected = (plain - plain[-1]) * plain[0] / (plain[0] - plain[-1])
    torch.testing.assert_close(found.alpha.double(), expected, rtol=0, atol=1e-4)
    assert float(found.alpha[-1]) == 0.0
    assert float(found.sigma[-1]) == 1.0
    assert torch.isfinite(found.weight(torch.arange(1000))).all()


@pytest.mark.parametrize(("prediction", "schedule"), KINDS)
def test_a_prediction_can_be_told_in_three_ways_and_moved(prediction: Any, schedule: Any) -> None:
    process = ForwardProcess(DiffusionOptions(prediction=prediction, schedule=schedule))
    z, eps, change = (torch.randn(3, 4, 2, 2) for _ in range(3))
    t = torch.tensor([50, 500, 800])
    z_t, predicted = process.add_noise(z, eps, t), process.target(z, eps, t)
    torch.testing.assert_close(process.clean(z_t, predicted, t), z, rtol=0, atol=1e-3)
    alpha, sigma = (f[t].view(-1, 1, 1, 1) for f in (process.alpha, process.sigma))
    torch.testing.assert_close(process.velocity(z_t, predicted, t), alpha * eps - sigma * z, rtol=0, atol=1e-3)
    moved = process.clean(z_t, process.moved(predicted, change, t), t)
    torch.testing.assert_close(moved, z + change, rtol=0, atol=2e-3)


@pytest.mark.parametrize(("width", "exponent"), [(0.05, 16.97), (0.10, 6.94)])
def test_exponents_of_power_averages_are_those_of_the_paper(width: float, exponent: float) -> None:
    assert power_exponent(width) == pytest.approx(exponent, abs=0.01)
    assert power_width(power_exponent(width)) == pytest.approx(width)


def test_power_average_weighs_steps_by_their_profile() -> None:
    """Step tau counts (tau^(g+1) - (tau-1)^(g+1)) / T^(g+1): the profile's share of its part of training."""
    layer, steps = nn.Linear(1, 1, bias=False).double(), 60
    ema, values = PowerEma(layer, 0.1), np.random.default_rng(0).standard_normal(steps)
    for value in values:
        nn.init.constant_(layer.weight, value)
        ema.update(layer)
    edges = np.arange(steps + 1.0) ** (ema.exponent + 1)
    share = np.diff(edges) / edges[-1]
    assert float(ema.module.weight) == pytest.approx(float(share @ values), rel=1e-9)
    middle = (np.arange(steps) + 0.5) / steps
    width = np.sqrt(share @ middle**2 - (share @ middle) ** 2)
    assert width == pytest.approx(0.1, rel=0.02)
    assert isinstance(averaged(DiffusionOptions(ema_width=0.1), layer), PowerEma)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 15, 25, 43, 100, 333, 999, 1000])
def test_timesteps_are_those_of_diffusers(steps: int) -> None:
    found = trailing_timesteps(1000, steps)
    for kind in (DDIMScheduler, DPMSolverMultistepScheduler):
        scheduler: Any = kind(1000, timestep_spacing="trailing")
        scheduler.set_timesteps(steps)
        assert found.tolist() == scheduler.timesteps.tolist()


@settings(deadline=None, max_examples=50)
@given(steps=st.integers(1, 200), low=st.floats(0.02, 1.0), ratio=st.floats(1.5, 500.0), rho=st.floats(1.0, 9.0))
def test_steps_at_noise_levels_go_from_pure_noise_down(steps: int, low: float, ratio: float, rho: float) -> None:
    found = level_timesteps(DiffusionOptions(sampling_levels=(low * ratio, low, rho)), steps)
    assert 1 <= len(found) <= steps
    assert int(found[0]) == 999
    assert int(found[-1]) >= 0
    assert bool((found.diff() < 0).all())


def test_noise_levels_are_spaced_by_their_exponent() -> None:
    """With rho 2 roots of the levels lie at even distances; times are whole, so levels are met to a hundredth."""
    options = DiffusionOptions(sampling_levels=(25.0, 0.25, 2.0))
    process, found = ForwardProcess(options), level_timesteps(options, 11)
    roots = (process.sigma[found[1:]] / process.alpha[found[1:]]).sqrt()
    torch.testing.assert_close(roots, torch.linspace(5.0, 0.5, 10), rtol=0.02, atol=0)


def test_only_the_way_from_pure_noise_has_these_levels() -> None:
    called: list[int] = []

    def predict(z: Tensor, t: Tensor) -> Tensor:
        called.append(int(t))
        return torch.zeros_like(z)

    for sampler in ("dpm++", "ddim"):
        options = DiffusionOptions(sampler=sampler, sampling_levels=(8.0, 0.5, 1.0))  # type: ignore[arg-type]
        for begin, expected in ((0, level_timesteps(options, 4).tolist()), (2, [499, 249])):
            called.clear()
            denoised(options, predict, torch.ones(1, 1, 1, 1), 4, begin)
            assert called == expected


def test_ten_steps_at_noise_levels_keep_the_variety_of_smooth_images() -> None:
    """Whitened codes of smooth images have an SD of 6 to 8 along their mean, which ten even times shrink."""
    kept = {}
    for levels in (None, (40.0, 0.2, 3.0)):
        options = DiffusionOptions(sampling_levels=levels)
        unet = GaussianDenoiser(options, (0.0, 0.0), 7.0)

        def predict(z: Tensor, t: Tensor, unet: GaussianDenoiser = unet) -> Tensor:
            v: Tensor = unet(z, t, torch.zeros(len(z), dtype=torch.int64)).sample
            return v

        z = torch.randn(2000, 3, 2, 2, generator=torch.Generator().manual_seed(0))
        kept[levels] = float(denoised(options, predict, z, 10).std()) / 7.0
    assert kept[None] < 0.8
    assert kept[40.0, 0.2, 3.0] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("prediction", "schedule"), KINDS)
def test_ddim_is_that_of_diffusers_where_steps_divide_the_timesteps(prediction: Any, schedule: Any) -> None:
    options = DiffusionOptions(prediction=prediction, schedule=schedule, sampler="ddim", sampling_levels=None)
    _, predict = ideal(options)
    scheduler, timesteps = build_scheduler(options, 20)
    z = start = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    for t in timesteps:
        z = scheduler.step(predict(z, t), t, z).prev_sample
    torch.testing.assert_close(denoised(options, predict, start, 20), z, rtol=0, atol=2e-4)


def test_ddim_follows_its_timesteps_where_they_are_not_even() -> None:
    """400 of 1000: diffusers steps by 1000 // 400 = 2 from timesteps that lie 2 and 3 apart."""
    options = DiffusionOptions(sampler="ddim", sampling_levels=None)
    unet, predict = ideal(options)
    z = torch.randn(64, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    drawn, exact = denoised(options, predict, z, 400), unet.flowed(z, MEANS[0], torch.tensor(0))
    assert float((drawn - exact).abs().mean()) < 2e-2


@pytest.mark.parametrize(("prediction", "schedule"), KINDS)
def test_heun_is_of_second_order_and_ddim_of_first(prediction: Any, schedule: Any) -> None:
    """Error at the last timestep, before the final estimate of z_0, against the closed form of the flow."""
    options = DiffusionOptions(prediction=prediction, schedule=schedule)
    unet, predict = ideal(options)
    flow = Flow(options, predict)
    z = torch.randn(64, 3, 2, 2, generator=torch.Generator().manual_seed(0))

    def error(method: Any, steps: int) -> float:
        timesteps = trailing_timesteps(1000, steps)
        exact = unet.flowed(z, MEANS[0], timesteps[-1]).float()
        expected = flow.rotated(exact, flow.velocity(exact, timesteps[-1]), -flow.angle(timesteps[-1]))
        return float((method(flow, z, timesteps) - expected).abs().mean())

    halved = {method: error(method, 100) / error(method, 200) for method in (heun, ddim)}
    assert halved[heun] > 2.5
    assert 1.3 < halved[ddim] < 2.3
    assert error(heun, 100) < error(ddim, 200), "at equal numbers of network calls"


def test_heun_by_hand() -> None:
    """On dz / dphi = v = z, two evaluations and their mean, then the estimate of z_0."""
    options = DiffusionOptions(timesteps=10, sampling_steps=2)
    flow, z = Flow(options, lambda z, t: z), torch.ones(1, 1, 1, 1)
    first, second = trailing_timesteps(10, 2)
    by = flow.angle(second) - flow.angle(first)
    expected = 1 + by * 0.5 * (1 + (1 + by))
    last = torch.tensor(flow.angle(second))
    expected *= float(last.cos() - last.sin())
    assert float(heun(flow, z, torch.stack([first, second]))) == pytest.approx(expected, rel=1e-5)


def test_noise_is_found_again_the_better_the_more_iterations() -> None:
    options = DiffusionOptions()
    _, predict = ideal(options)
    flow, timesteps = Flow(options, predict), trailing_timesteps(1000, 25)
    noise = torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    clean = ddim(flow, noise, timesteps)
    errors = []
    for iterations in (1, 2, 3, 6):
        back = ddim(flow, ddim_inverse(flow, clean, timesteps, iterations), timesteps)
        errors.append(float((back - clean).abs().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 5 * errors[2]


def test_samplers_of_zero_snr_agree_with_diffusers() -> None:
    options = DiffusionOptions(zero_terminal_snr=True, sampler="ddim")
    scheduler: Any = build_scheduler(options, 10)[0]
    reference: Any = DDIMScheduler(
        1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", rescale_betas_zero_snr=True
    )
    assert torch.equal(scheduler.alphas_cumprod, reference.alphas_cumprod)
    torch.testing.assert_close(
        ForwardProcess(options).alpha[:-1] ** 2, reference.alphas_cumprod[:-1], rtol=0, atol=1e-6
    )
