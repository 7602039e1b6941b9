"""The way between noise and code: the schedulers of diffusers, Heun's method, and DDIM in both directions.

``Predict``: (z_t [B, C, h, w], t int64 [] on the CPU) -> the network's prediction [B, C, h, w]. Along the probability
flow of a variance-preserving process z_t = cos(phi_t) z_0 + sin(phi_t) eps the code moves by dz / dphi = v (Salimans &
Ho 2022, arXiv:2202.00512, appendix D), which stays finite from pure noise, phi = pi / 2, to the clean code, phi = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from generators._diffusion.noise import ForwardProcess, build_scheduler, level_timesteps, trailing_timesteps
from generators._diffusion.options import DiffusionOptions

Predict = Callable[[Tensor, Tensor], Tensor]


def denoised(options: DiffusionOptions, predict: Predict, z: Tensor, steps: int, begin: int = 0) -> Tensor:
    """The code that noise ``z`` leads to by the options' sampler of ``steps`` steps, entered at step ``begin``.

    From pure noise, ``begin`` 0, the steps have the noise levels that the options give; from later on, even times.
    """
    levels = level_timesteps(options, steps) if options.sampling_levels is not None and begin == 0 else None
    if options.sampler != "dpm++":
        method = heun if options.sampler == "heun" else ddim
        times = trailing_timesteps(options.timesteps, steps)[begin:] if levels is None else levels
        return method(Flow(options, predict), z, times)
    scheduler, timesteps = build_scheduler(options, steps)
    if levels is not None:
        scheduler.set_timesteps(timesteps=levels.tolist())
        timesteps = scheduler.timesteps
    if begin:
        scheduler.set_begin_index(begin)
    for t in timesteps[begin:]:
        z = scheduler.step(predict(z, t), t, z).prev_sample
    return z


class Flow:
    """dz / dphi of a network, and the angles phi_t = atan2(sigma_t, alpha_t), radians float64 [T] on the CPU."""

    def __init__(self, options: DiffusionOptions, predict: Predict) -> None:
        self.process, self.predict = ForwardProcess(options), predict
        self.phi = torch.atan2(self.process.sigma.double(), self.process.alpha.double())

    def velocity(self, z: Tensor, t: Tensor) -> Tensor:
        """v at z_t, in the units of the code."""
        return self.process.velocity(z, self.predict(z, t), t)

    def angle(self, t: Tensor | None) -> float:
        """phi_t; 0 for None, the clean code."""
        return 0.0 if t is None else float(self.phi[t])

    def rotated(self, z: Tensor, v: Tensor, by: float) -> Tensor:
        """The code at an angle ``by`` further from the clean one if z_0 and eps stay what ``v`` says: a DDIM step."""
        turn = torch.tensor(by, dtype=torch.float64)
        return float(turn.cos()) * z + float(turn.sin()) * v


def heun(flow: Flow, z: Tensor, timesteps: Tensor) -> Tensor:
    """Karras et al. (2022, arXiv:2206.00364), algorithm 1, with s = cos(t), sigma = tan(t): its d is then v.

    The last step, from ``timesteps[-1]`` to the clean code, takes the estimate of z_0 as it is.
    """
    for t, after in pairwise(timesteps):
        by, d = flow.angle(after) - flow.angle(t), flow.velocity(z, t)
        d_after = flow.velocity(z + by * d, after)
        z = z + by * 0.5 * (d + d_after)
    last = timesteps[-1]
    return flow.rotated(z, flow.velocity(z, last), -flow.angle(last))


def ddim(flow: Flow, z: Tensor, timesteps: Tensor) -> Tensor:
    """The clean code of z at ``timesteps[0]`` by DDIM with eta 0 (Song et al. 2021, arXiv:2010.02502, eq. 12).

    The scheduler of diffusers steps by T // steps whatever the distance of its timesteps; where the number of steps
    does not divide T it ends beside the flow (by a third of the SD of concentrated data at 400 steps of 1000).
    """
    for t, after in zip(timesteps, [*timesteps[1:], None], strict=True):
        z = flow.rotated(z, flow.velocity(z, t), flow.angle(after) - flow.angle(t))
    return z


def ddim_inverse(flow: Flow, z: Tensor, timesteps: Tensor, iterations: int) -> Tensor:
    """The noise at ``timesteps[0]`` from which :func:`ddim` leads to the clean code ``z``.

    Each step z' -> z is undone by fixed-point iteration of z' = (z + sin(d) v(z')) / cos(d), begun at z' = z: one
    iteration is the usual DDIM inversion (Song et al. 2021, section 4.3), more remove its drift (Pan et al. 2023,
    arXiv:2309.04907).
    """
    upward = timesteps.flip(0)
    for before, t in zip([None, *upward[:-1]], upward, strict=True):
        by = torch.tensor(flow.angle(t) - flow.angle(before), dtype=torch.float64)
        noisier = z
        for _ in range(iterations):
            noisier = (z + float(by.sin()) * flow.velocity(noisier, t)) / float(by.cos())
        z = noisier
    return z
