"""The forward process q(z_t | z_0), the regression targets, and the samplers of diffusers that reverse it."""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from generators._diffusion.options import DiffusionOptions

MAX_BETA = 0.999  # Nichol & Dhariwal (2021, arXiv:2102.09672), section 3.2
_SCHEDULES = {"cosine": "squaredcos_cap_v2", "linear": "linear", "scaled_linear": "scaled_linear"}
_PREDICTIONS = {"v": "v_prediction", "epsilon": "epsilon", "x0": "sample"}


class ForwardProcess:
    """z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps (Ho et al. 2020, arXiv:2006.11239, eq. 4).

    ``alpha``, ``sigma``: float32 [T], the factors of signal and noise. A network's prediction at ``t`` (int64 [] or
    [B]) can be told in three ways: v, the noise epsilon, or the clean code z_0.
    """

    def __init__(self, options: DiffusionOptions, device: str = "cpu") -> None:
        scheduler: Any = DDPMScheduler(**_scheduler_arguments(options))  # type: ignore[no-untyped-call]
        abar = scheduler.alphas_cumprod.double()
        self.alpha: Tensor = abar.sqrt().float().to(device)
        self.sigma: Tensor = (1.0 - abar).sqrt().float().to(device)
        self.prediction, self.min_snr = options.prediction, options.min_snr

    def add_noise(self, z: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """z_t of codes ``z`` [B, C, h, w] at ``t`` int64 [B]."""
        return _column(self.alpha[t]) * z + _column(self.sigma[t]) * eps

    def target(self, z: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the network is to predict; v = alpha eps - sigma z (Salimans & Ho 2022, arXiv:2202.00512)."""
        if self.prediction == "epsilon":
            return eps
        if self.prediction == "x0":
            return z
        return _column(self.alpha[t]) * eps - _column(self.sigma[t]) * z

    def clean(self, z_t: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
        """The estimate of z_0 that the network's prediction at z_t implies."""
        alpha, sigma = self._factors(t, z_t)
        if self.prediction == "epsilon":
            return (z_t - sigma * predicted) / alpha
        return predicted if self.prediction == "x0" else alpha * z_t - sigma * predicted

    def velocity(self, z_t: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
        """The v = alpha eps - sigma z_0 that the network's prediction at z_t implies."""
        alpha, sigma = self._factors(t, z_t)
        if self.prediction == "epsilon":
            return (predicted - sigma * z_t) / alpha
        return (alpha * z_t - predicted) / sigma if self.prediction == "x0" else predicted

    def moved(self, predicted: Tensor, change: Tensor, t: Tensor) -> Tensor:
        """The prediction at the same z_t whose estimate of z_0 is that of ``predicted`` plus ``change``."""
        alpha, sigma = self._factors(t, predicted)
        if self.prediction == "epsilon":
            return predicted - alpha / sigma * change
        return predicted + change if self.prediction == "x0" else predicted - change / sigma

    def _factors(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        return _column(self.alpha[t]).to(like.device), _column(self.sigma[t]).to(like.device)

    def weight(self, t: Tensor) -> Tensor:
        """Loss weight float32 [B]: min(SNR, gamma) on the error of z_0, told in the predicted quantity's units.

        Hang et al. (2023, arXiv:2303.09556), section 3.4: over SNR for epsilon, over SNR + 1 for v.
        """
        if self.min_snr is None:
            return torch.ones(len(t), device=t.device)
        snr = (self.alpha[t] / self.sigma[t]) ** 2
        clipped = snr.clamp(max=self.min_snr)
        if self.prediction == "epsilon":
            return clipped / snr
        return clipped / (snr + 1.0) if self.prediction == "v" else clipped


def stratified_timesteps(batch: int, timesteps: int, rng: torch.Generator) -> Tensor:
    """int64 [batch], uniform on 0..timesteps-1 each, and evenly spread over a batch to lower the loss's variance.

    Kingma et al. (2021, arXiv:2107.00630), appendix I.1: one shared offset, wrapped around.
    """
    u = (torch.rand((), generator=rng, dtype=torch.float64) + torch.arange(batch) / batch) % 1.0
    return (u * timesteps).long()


def trailing_timesteps(timesteps: int, steps: int) -> Tensor:
    """int64 [steps], from timesteps - 1 down at even distances (Lin et al. 2023, arXiv:2305.08891, table 2)."""
    return (torch.arange(steps, 0, -1, dtype=torch.float64) * timesteps / steps).round().long() - 1


def level_timesteps(options: DiffusionOptions, steps: int) -> Tensor:
    """int64, falling: pure noise, then steps - 1 times whose noise levels are spaced as ``sampling_levels`` says.

    sigma_i = (a^(1/rho) + i / (steps - 2) (b^(1/rho) - a^(1/rho)))^rho for i = 0 ... steps - 2 (Karras et al. 2022,
    arXiv:2206.00364, eq. 5), each at the time whose sigma_t / alpha_t is nearest; times that meet are taken once.
    Raises ValueError without such levels.
    """
    if options.sampling_levels is None:
        raise ValueError("sampling_levels is None: steps have even times")
    high, low, rho = options.sampling_levels
    process = ForwardProcess(options)
    of_time = process.sigma.double().log() - process.alpha.double().log()
    share = torch.linspace(0.0, 1.0, steps - 1, dtype=torch.float64)
    levels = (high ** (1 / rho) + share * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    nearest = (of_time[None, :] - levels.log()[:, None]).abs().argmin(dim=1)
    return torch.cat([nearest, torch.tensor([options.timesteps - 1])]).unique().flip(0)


def build_scheduler(options: DiffusionOptions, steps: int) -> tuple[Any, Tensor]:
    """A scheduler of diffusers set to ``steps`` steps, and its timesteps int64 [steps], from noise to code."""
    common = {**_scheduler_arguments(options), "timestep_spacing": "trailing"}
    if options.sampler == "ddim":
        scheduler: Any = DDIMScheduler(  # type: ignore[no-untyped-call]
            **common, clip_sample=False, set_alpha_to_one=True
        )
    else:
        scheduler = DPMSolverMultistepScheduler(  # type: ignore[no-untyped-call]
            **common, algorithm_type="dpmsolver++", solver_order=2, lower_order_final=True, final_sigmas_type="zero"
        )
    scheduler.set_timesteps(steps)
    return scheduler, scheduler.timesteps


def steps_from(options: DiffusionOptions, strength: float) -> tuple[int, int]:
    """(total steps of the sampler, index of the first one used) to go back from noise time ``strength`` in (0, 1].

    About ``sampling_steps`` steps are used whatever the strength: little noise is removed in small steps.
    """
    total = min(options.timesteps, math.ceil(options.sampling_steps / strength))
    used = min(total, max(1, round(total * strength)))
    return total, total - used


def sigmoid_betas(timesteps: int, start: float = -3.0, end: float = 3.0, tau: float = 1.0) -> list[float]:
    """Betas of the sigmoid schedule of Jabri et al. (2022, arXiv:2212.11972), algorithm 1, at ``timesteps`` steps.

    abar(u) = (s(end) - s(start + u (end - start))) / (s(end) - s(start)) with s(x) = 1 / (1 + exp(-x / tau)).
    """

    def s(x: float) -> float:
        return 1.0 / (1.0 + math.exp(-x / tau))

    def abar(u: float) -> float:
        return (s(end) - s(start + u * (end - start))) / (s(end) - s(start))

    return [min(1.0 - abar((i + 1) / timesteps) / abar(i / timesteps), MAX_BETA) for i in range(timesteps)]


def _scheduler_arguments(options: DiffusionOptions) -> dict[str, Any]:
    arguments = {"num_train_timesteps": options.timesteps, "prediction_type": _PREDICTIONS[options.prediction]}
    if options.schedule == "sigmoid":
        arguments["trained_betas"] = sigmoid_betas(options.timesteps)
    else:
        arguments["beta_schedule"] = _SCHEDULES[options.schedule]
    if options.zero_terminal_snr:
        arguments["rescale_betas_zero_snr"] = True
    return arguments


def _column(factor: Tensor) -> Tensor:
    return factor.view(-1, 1, 1, 1)
