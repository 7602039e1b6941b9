"""Averages of weights over training: the exponential one of :mod:`bench.loop`, and power functions."""

from __future__ import annotations

import math

import numpy as np
from torch import nn

from bench.loop import Ema
from generators._diffusion.options import DiffusionOptions


class PowerEma(Ema):
    """Power-function average (Karras et al. 2024, arXiv:2312.02696, section 3.1): the weights of step tau count tau^g.

    Its profile is as wide, relative to the length of training, at every moment; the random start counts for nothing.
    ``width``: the relative width sigma_rel of the profile, of which the exponent g follows.
    """

    def __init__(self, module: nn.Module, width: float) -> None:
        super().__init__(module, 0.0)
        self.exponent = power_exponent(width)

    def weight(self) -> float:
        """1 - beta_t with beta_t = (1 - 1 / t)^(g + 1)."""
        return 1.0 - math.pow(1.0 - 1.0 / self.updates, self.exponent + 1.0)


def power_exponent(width: float) -> float:
    """The g > 0 whose profile has ``width`` = sqrt(g + 1) / ((g + 2) sqrt(g + 3)) (section 3.1).

    With u = g + 2 that is the largest root of u^3 + u^2 - (u - 1) / width^2 = 0.
    """
    roots = np.roots([1.0, 1.0, -(width**-2), width**-2])
    return float(roots.real.max()) - 2.0


def averaged(options: DiffusionOptions, module: nn.Module) -> Ema:
    """The average of ``module``'s weights that ``options`` ask for."""
    return Ema(module, options.ema) if options.ema_width is None else PowerEma(module, options.ema_width)


def power_width(exponent: float) -> float:
    """sigma_rel of the profile tau^``exponent``, in units of the length of training."""
    return math.sqrt(exponent + 1.0) / ((exponent + 2.0) * math.sqrt(exponent + 3.0))
