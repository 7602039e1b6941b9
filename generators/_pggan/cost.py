"""Work of growing networks by arithmetic on the layer shapes, without torch."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import Cost
from generators._pggan.growth import Growth

# In forward passes. An update of the critic: the generator once; the critic on real and fake images (3 each), and on
# their mixtures forward, back to the image and back through both (6). One of the generator: both forward and back.
OF_CRITIC, OF_GENERATOR = (1.0, 12.0), (3.0, 2.0)
COPIES = 4.0  # weights, gradients, two moments of Adam
KEPT = 4.0  # maps kept a convolution: of itself, the activation, the norm, and for the second derivative
BYTES = 4.0 / 2**20


def pggan_cost(growth: Growth, widths: Sequence[int], latent: int, batch: int, critic_steps: int) -> Cost:
    """Cost of training the networks of ``widths`` at 4, 8, ... pixels through all of ``growth``."""
    w = widths[0]
    of_g, of_d = 16 * 2 * latent * w + 16 * 9 * w * w, 16 * 9 * (w + 1) * w + 16 * w * w
    parameters_g, parameters_d = 32 * latent * w + 9 * w * w, 9 * (w + 1) * w + 16 * w * w
    flops, maps, side = 0.0, 2.0 * 16 * w, 4
    for level in range(growth.levels):
        if level:
            before, after, side = widths[level - 1], widths[level], 2 * side
            inner, outer = 9 * after * after, 9 * before * after
            of_g += side**2 * (inner + outer)
            of_d += side**2 * (inner + outer)
            parameters_g, parameters_d = parameters_g + inner + outer, parameters_d + inner + outer
            maps += 2.0 * side**2 * after
        work = sum(
            times * (g * of_g + d * (of_d + side**2 * 3 * widths[level]))
            for times, (g, d) in ((critic_steps, OF_CRITIC), (1, OF_GENERATOR))
        )
        flops += 2.0 * batch * growth.steps_at(level) * work
    weights_mb = BYTES * (COPIES * (parameters_g + parameters_d) + parameters_g)
    return Cost(growth.steps, flops, weights_mb + BYTES * KEPT * 4.0 * maps * batch, weights_mb)
