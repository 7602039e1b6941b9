"""Work of a DCGAN's training by arithmetic on the layer shapes, without torch."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import Cost

# Passes an update pair makes through each network, a backward pass counting as two and one without weight gradients
# as one: the generator forward and backward; the discriminator on real, fake and again fake images for the generator.
GENERATOR_PASSES, DISCRIMINATOR_PASSES = 3.0, 3.0 + 3.0 + 2.0
COPIES = 4.0  # weights, gradients, two moments of Adam
KEPT = 3.0  # maps kept a layer: of the convolution, the norm, the activation
BYTES = 4.0 / 2**20


def dcgan_cost(
    steps: int, batch: int, latent: int, widths: Sequence[int], kernel: int, networks: int, averaged: bool
) -> Cost:
    """Cost of training ``networks`` pairs side by side, ``steps`` updates each on ``batch`` images."""
    side = 4
    one = latent * widths[0] * side**2
    macs, parameters, maps = [one, widths[0] * side**2], [one, widths[0] * side**2], widths[0] * side**2
    for before, after in zip(widths, [*widths[1:], 3], strict=True):
        weights = before * after * kernel**2
        maps += after * (2 * side) ** 2
        for k in (0, 1):
            macs[k] += weights * side**2
            parameters[k] += weights
        side *= 2
    work = GENERATOR_PASSES * macs[0] + DISCRIMINATOR_PASSES * macs[1]
    weights_mb = BYTES * networks * (COPIES * sum(parameters) + averaged * parameters[0])
    activations_mb = BYTES * KEPT * 3.0 * maps * batch
    return Cost(steps, 2.0 * networks * steps * batch * work, weights_mb + activations_mb, weights_mb)
