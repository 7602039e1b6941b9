"""Work of a fit by arithmetic on the layer shapes, without building a network or importing torch."""

from __future__ import annotations

from itertools import pairwise

from bench.contracts import Cost
from generators._diffusion.cost import OF_PERCEPTUAL, perceptual_tally
from generators._tally import BACKWARD, Tally
from generators.pix2pixhd.options import Pix2PixHDOptions

OWN_CHANNELS, CLASSES = 3, 2  # of the map of a lesion mask; of the usual task
PAINTER_COPIES, CRITIC_COPIES = 5, 4  # weights, gradients, two moments of Adam; and the painter's average
CRITIC_PASSES = (
    2 * BACKWARD + 1 + BACKWARD
)  # real and fake for its own step; real forward, fake both ways for the other


def training_cost(options: Pix2PixHDOptions, size: int) -> Cost:
    """Cost of a fit on images of ``size`` x ``size`` pixels with lesion masks alone.

    Steps at half resolution (``global_share`` with an enhancer) count a quarter.
    """
    painter, critic = painter_tally(options, size), critic_tally(options, size)
    early = options.global_share if options.enhancer else 0.0
    work = (1.0 - 0.75 * early) * (BACKWARD * painter.macs + CRITIC_PASSES * critic.macs)
    kept, frozen = painter.kept + 2.0 * critic.kept, 0.0
    if options.perceptual:
        judge = perceptual_tally("vgg", size)
        work += (1.0 - 0.75 * early) * OF_PERCEPTUAL * judge.macs
        kept, frozen = kept + judge.kept, judge.parameters
    weights_mb = 4.0 * (PAINTER_COPIES * painter.parameters + CRITIC_COPIES * critic.parameters) / 2**20
    kept_mb = 4.0 * (options.batch * kept + frozen) / 2**20
    return Cost(options.steps, 2.0 * options.steps * options.batch * work, weights_mb + kept_mb, weights_mb)


def painter_tally(options: Pix2PixHDOptions, size: int) -> Tally:
    """Generator and style encoder on one image."""
    side = -(-size // options.stride) * options.stride
    channels = OWN_CHANNELS + (options.instances == "slic") + options.styles
    tally, width = Tally(), options.widths[0]
    if options.enhancer:
        tally.conv(channels, width // 2, side, kernel=7)
        tally.conv(width // 2, width, side // 2)
        for _ in range(options.enhancer_blocks):
            tally.residual(width, width, side // 2)
        tally.conv(width, width // 2, side)
        tally.conv(width // 2, 3, side, kernel=7)
        tally.parameters += 7 * 7 * width * 3 + 3  # the global generator's own last layer, idle once it is enhanced
        side //= 2
    _global_generator(tally, options, channels, side)
    if not options.enhancer:
        tally.conv(width, 3, side, kernel=7)
    if options.styles:
        tally.conv(3, 16, size, kernel=5)
        tally.conv(16, 32, size // 2)
        tally.conv(32, 16, size)
        tally.conv(16, options.styles, size, kernel=5)
    return tally


def critic_tally(options: Pix2PixHDOptions, size: int) -> Tally:
    """All discriminators on one image."""
    tally = Tally()
    channels = OWN_CHANNELS + (options.instances == "slic") + CLASSES * options.label + 3
    widths = (channels, *options.critic_widths)
    for scale in range(options.scales):
        side = max(1, size >> scale)
        for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
            side = side + 1 if i + 2 == len(widths) else side // 2 + 1
            tally.conv(fan_in, fan_out, side, kernel=4)
        tally.conv(widths[-1], 1, side + 1, kernel=4)
    return tally


def _global_generator(tally: Tally, options: Pix2PixHDOptions, channels: int, side: int) -> None:
    """Layers of G1 up to its last feature map."""
    widths = options.widths
    tally.conv(channels, widths[0], side, kernel=7)
    for fan_in, fan_out in pairwise(widths):
        side //= 2
        tally.conv(fan_in, fan_out, side)
    for _ in range(options.blocks):
        tally.residual(widths[-1], widths[-1], side)
    for fan_out, fan_in in reversed(list(pairwise(widths))):
        side *= 2
        tally.conv(fan_in, fan_out, side)
