"""The forward process and the samplers against closed forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from pydantic import ValidationError

from generators._diffusion.noise import ForwardProcess, build_scheduler, steps_from, stratified_timesteps
from generators._diffusion.options import DiffusionOptions, learning_rate_factor

KINDS = [("v", "cosine"), ("v", "linear"), ("x0", "cosine"), ("epsilon", "linear"), ("epsilon", "scaled_linear")]


def options(**values: Any) -> DiffusionOptions:
    return DiffusionOptions(**values)


def abar_by_formula(schedule: str, steps: int) -> torch.Tensor:
    """Cumulative products written out from the papers, float64 [T]."""
    t = torch.arange(steps, dtype=torch.float64)
    if schedule == "cosine":

        def f(x: torch.Tensor) -> torch.Tensor:
            return torch.cos((x + 0.008) / 1.008 * torch.pi / 2) ** 2

        betas = (1 - f((t + 1) / steps) / f(t / steps)).clamp(max=0.999)
    elif schedule == "linear":
        betas = 1e-4 + (0.02 - 1e-4) * t / (steps - 1)
    else:
        betas = (1e-4**0.5 + (0.02**0.5 - 1e-4**0.5) * t / (steps - 1)) ** 2
    return torch.cumprod(1 - betas, 0)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "scaled_linear"])
def test_noised_codes_follow_the_closed_form(schedule: Any) -> None:
    process = ForwardProcess(options(schedule=schedule))
    abar = abar_by_formula(schedule, 1000)
    torch.manual_seed(0)
    z, eps, t = torch.randn(6, 4, 2, 2), torch.randn(6, 4, 2, 2), torch.tensor([0, 10, 250, 500, 900, 999])
    expected = abar[t].sqrt().view(-1, 1, 1, 1) * z + (1 - abar[t]).sqrt().view(-1, 1, 1, 1) * eps
    torch.testing.assert_close(process.add_noise(z, eps, t).double(), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize(("prediction", "schedule"), KINDS)
def test_targets_are_those_that_the_samplers_of_diffusers_invert(prediction: Any, schedule: Any) -> None:
    chosen = options(prediction=prediction, schedule=schedule, sampler="ddim")
    process = ForwardProcess(chosen)
    scheduler, timesteps = build_scheduler(chosen, 10)
    z, eps = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    t = timesteps[4]
    batch = t.expand(3)
    step = scheduler.step(process.target(z, eps, batch), t, process.add_noise(z, eps, batch))
    torch.testing.assert_close(step.pred_original_sample, z, rtol=0, atol=1e-3)
    before = timesteps[5].expand(3)
    torch.testing.assert_close(step.prev_sample, process.add_noise(z, eps, before), rtol=0, atol=1e-3)


def test_velocity_agrees_with_diffusers() -> None:
    process = ForwardProcess(options())
    reference: Any = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    z, eps, t = torch.randn(5, 4, 2, 2), torch.randn(5, 4, 2, 2), torch.tensor([0, 5, 300, 700, 999])
    torch.testing.assert_close(process.target(z, eps, t), reference.get_velocity(z, eps, t), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("prediction", "schedule"), KINDS)
def test_min_snr_weights_the_error_of_the_clean_code(prediction: Any, schedule: Any) -> None:
    """weight x |error of the prediction|^2 must equal min(SNR, 5) |error of z_0|^2 for the same estimate of z_0."""
    process = ForwardProcess(options(prediction=prediction, schedule=schedule))
    t = torch.tensor([100, 400, 600])
    z, eps, wrong = (torch.randn(3, 4, 2, 2) for _ in range(3))
    z_t = process.add_noise(z, eps, t)
    alpha, sigma = (f[t].view(-1, 1, 1, 1) for f in (process.alpha, process.sigma))
    implied_eps = (z_t - alpha * wrong) / sigma
    error = (process.target(wrong, implied_eps, t) - process.target(z, eps, t)).square().mean(dim=(1, 2, 3))
    snr = (alpha / sigma).square().flatten()
    expected = snr.clamp(max=5.0) * (wrong - z).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(process.weight(t) * error, expected, rtol=1e-3, atol=1e-6)


def test_timesteps_of_a_batch_are_spread_and_uniform() -> None:
    rng = torch.Generator().manual_seed(0)
    draws = torch.stack([stratified_timesteps(8, 1000, rng) for _ in range(500)])
    assert int(draws.min()) >= 0
    assert int(draws.max()) <= 999
    strata = (draws.sort(dim=1).values // 125).float().mean(0)
    torch.testing.assert_close(strata, torch.arange(8.0), rtol=0, atol=0.08)
    assert abs(float(draws[:, 0].float().mean()) - 499.5) < 4 * 289 / 500**0.5


@pytest.mark.parametrize("sampler", ["dpm++", "ddim"])
@pytest.mark.parametrize("steps", [1, 5, 15, 1000])
def test_samplers_start_from_pure_noise(sampler: Any, steps: int) -> None:
    _, timesteps = build_scheduler(options(sampler=sampler), steps)
    assert len(timesteps) == steps
    assert int(timesteps[0]) == 999
    assert bool((timesteps.diff() < 0).all())


@pytest.mark.parametrize(("strength", "used"), [(1.0, 15), (0.35, 15), (0.5, 15), (0.001, 1)])
def test_variation_takes_its_steps_below_its_noise_time(strength: float, used: int) -> None:
    total, begin = steps_from(options(sampling_steps=15), strength)
    assert total - begin == used
    timesteps = build_scheduler(options(), total)[1]
    assert abs((int(timesteps[begin]) + 1) / 1000 - strength) <= 1 / total + 1e-3


def test_learning_rate_rises_then_falls_to_a_twentieth() -> None:
    factors = [learning_rate_factor(i, 100, 10) for i in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[10] == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(0.05, abs=1e-3)
    assert factors[10:] == sorted(factors[10:], reverse=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"guidance": 2.0, "class_dropout": 0.0}, "null class is never trained"),
        ({"prediction": "epsilon", "schedule": "cosine"}, "use prediction v or x0"),
        ({"attention": 3}, "only 2 levels"),
        ({"sampling_steps": 2000}, "more than timesteps"),
        ({"channels": (60,)}, "multiple of 8"),
        ({"ema": 1.0}, "less than 1"),
    ],
)
def test_options_that_cannot_work_are_refused_with_the_reason(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        options(**values)
