"""Work of a fit by arithmetic on the layer shapes, without building a network or importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.contracts import Cost
from generators._tally import Tally
from generators.stylegan2_ada.options import StyleOptions

COPIES_G, COPIES_D = 5, 4  # weights, gradients and two moments; of the generator also the average
SECOND_ORDER = 0.25  # share of a step's memory that second derivatives add, at most, to that of the first


@dataclass
class StyleTally(Tally):
    """The layers of a style-based network; a convolution keeps maps styled, convolved, demodulated and activated."""

    maps_kept: ClassVar[int] = 4

    def filter(self, width: int, side: int) -> None:
        """The 4 x 4 low-pass filter on ``width`` maps."""
        self.macs += 16.0 * width * side * side
        self.kept += width * side * side

    def linear(self, fan_in: int, fan_out: int, times: int = 1) -> None:
        """``times`` fully connected layers."""
        self.macs += float(times * fan_in * fan_out)
        self.parameters += times * (fan_in + 1) * fan_out


def generator_tally(options: StyleOptions, size: int) -> StyleTally:
    """The generator for images of ``size`` x ``size`` pixels."""
    tally, before, side = StyleTally(), 0, 4
    tally.linear(options.z_dim, options.w_dim)
    tally.linear(options.w_dim, options.w_dim, options.mapping_layers - 1)
    while side <= size:
        width = _width(options, side)
        if before:
            tally.conv(before, width, side // 2)
            tally.filter(width, side)
            tally.linear(options.w_dim, before)
        tally.conv(width, width, side)
        tally.conv(width, 3, side, kernel=1)
        tally.linear(options.w_dim, width, 2)
        before, side = width, 2 * side
    return tally


def discriminator_tally(options: StyleOptions, size: int) -> StyleTally:
    """The discriminator of images of ``size`` x ``size`` pixels, unconditional."""
    tally, side = StyleTally(), size
    tally.conv(3, _width(options, size), size, kernel=1)
    while side > 4:
        width, after = _width(options, side), _width(options, side // 2)
        tally.conv(width, width, side)
        tally.filter(width, side)
        tally.conv(width, after, side // 2)
        tally.filter(width, side // 2)
        tally.conv(width, after, side // 2, kernel=1)
        side //= 2
    last = _width(options, 4)
    tally.conv(last + 1, last, 4)
    tally.linear(16 * last, last)
    return tally


def training_cost(options: StyleOptions, size: int, networks: int) -> Cost:
    """Cost of training ``networks`` pairs one after the other: forward, backward and lazy second derivatives.

    ``options`` are settled for ``size`` (:meth:`StyleOptions.at`).

    A step runs G twice (once without gradients) and D three times; a backward pass is two forward passes, one where
    weights get no gradient, and a pass of second derivatives is five.
    """
    g, d = generator_tally(options, size), discriminator_tally(options, size)
    a_step = 3 * g.macs + 2 * d.macs + g.macs + 2 * 3 * d.macs
    if options.r1_every:
        a_step += 6 * d.macs / options.r1_every
    if options.pl_every:
        a_step += 6 * g.macs / (2 * options.pl_every)
    steps = options.steps * networks
    weights_mb = 4.0 * (COPIES_G * g.parameters + COPIES_D * d.parameters) / 2**20
    kept_mb = 4.0 * options.batch * (1 + SECOND_ORDER) * (g.kept + 2 * d.kept) / 2**20
    flops = 2.0 * steps * options.batch * a_step
    return Cost(steps, flops, weights_mb + kept_mb, weights_mb, batch=options.batch)


def _width(options: StyleOptions, side: int) -> int:
    return max(1, min(options.channel_base // side, options.channel_max))
