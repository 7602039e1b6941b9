"""A diffusion model of Gaussian images with its ideal denoiser, for which every answer is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts import Images
from generators._diffusion.codecs import PixelCodec, to_uint8
from generators._diffusion.model import DiffusionModel
from generators._diffusion.noise import ForwardProcess
from generators._diffusion.options import DiffusionOptions

MEANS, SD = (-0.3, 0.4), 0.15
EVEN: dict[str, Any] = {"guidance": 1.0, "sampling_levels": None, "sampling_steps": 100}


class GaussianDenoiser(nn.Module):
    """E[v | z_t] when every number of a code is N(MEANS[class], sd^2); the null class has the classes' mean.

    ``rows``: codes it was asked about.
    """

    def __init__(self, options: DiffusionOptions, means: tuple[float, ...] = MEANS, sd: float = SD) -> None:
        super().__init__()
        self.process, self.sd, self.rows = ForwardProcess(options), sd, 0
        self.means = torch.tensor([*means, sum(means) / 2])

    def forward(self, z_t: Tensor, t: Tensor, class_labels: Tensor) -> SimpleNamespace:
        self.rows += len(z_t)
        mean = self.means[class_labels].view(-1, 1, 1, 1)
        alpha, sigma = (f[t].view(-1, 1, 1, 1) for f in (self.process.alpha, self.process.sigma))
        z_0 = mean + alpha * self.sd**2 / (alpha**2 * self.sd**2 + sigma**2) * (z_t - alpha * mean)
        return SimpleNamespace(sample=alpha * (z_t - alpha * z_0) / sigma - sigma * z_0)

    def flowed(self, z: Tensor, mean: float, to: Tensor) -> Tensor:
        """Where the probability flow leads from noise ``z`` at the last timestep down to ``to`` int64 [], exactly.

        z(phi) = cos(phi) mean + sqrt(cos(phi)^2 sd^2 + sin(phi)^2) xi, with the same xi all the way.
        """
        (a, s), (b, r) = ((self.process.alpha[t].double(), self.process.sigma[t].double()) for t in (-1, to))
        xi = (z.double() - a * mean) / (a**2 * self.sd**2 + s**2).sqrt()
        return b * mean + (b**2 * self.sd**2 + r**2).sqrt() * xi


def gaussian_model(**values: Any) -> DiffusionModel:
    """A model of 8 px images whose codes are their pixels in [-1, 1]."""
    options = DiffusionOptions(channels=(8,), **{**EVEN, **values})
    codec = PixelCodec(torch.zeros(3), torch.ones(3), patch=1, stride=1)
    return DiffusionModel(options, codec, GaussianDenoiser(options), (8, 8), 2)


def white_model(scale: float = 0.1, **values: Any) -> DiffusionModel:
    """A model of 8 px images of mean 0 and SD ``scale`` in [-1, 1], whose codes are white."""
    options = DiffusionOptions(channels=(8,), **{**EVEN, **values})
    codec = PixelCodec(torch.zeros(3), torch.full((3,), scale), patch=1, stride=1)
    return DiffusionModel(options, codec, GaussianDenoiser(options, (0.0, 0.0), 1.0), (8, 8), 2)


def images(n: int, level: float, label: int) -> Images:
    """``n`` images of 8 px whose numbers are N(``level``, SD^2)."""
    codes = level + SD * torch.randn(n, 8, 8, 3, generator=torch.Generator().manual_seed(5))
    names = np.array([f"image{i}" for i in range(n)])
    return Images(to_uint8(codes).numpy(), np.full(n, label), names, names, ("rest", "melanoma"))
