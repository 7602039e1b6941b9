"""Work of a fit by arithmetic on the layer shapes, without building a network or importing torch."""

from __future__ import annotations

import math
from dataclasses import fields

from bench.contracts import Cost
from generators._diffusion.latent_options import LatentOptions
from generators._diffusion.options import DiffusionOptions
from generators._tally import BACKWARD, Tally

TRAINING_COPIES = 5  # weights, gradients, two moments of AdamW, the moving average
CRITIC_COPIES = 4  # the same without the average
# (maps, kernel, divisor of the image's side) of the networks behind LPIPS: Simonyan & Zisserman (2015,
# arXiv:1409.1556), configuration D; Krizhevsky (2014, arXiv:1404.5997).
VGG16 = [(width, 3, 2**i) for i, (width, n) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)])
         for _ in range(n)]  # fmt: skip
ALEXNET = [(64, 11, 4), (192, 5, 8), (384, 3, 16), (256, 3, 16), (256, 3, 16)]
OF_PERCEPTUAL = 3.0  # passes a step: both images forward, one back; no weight learns
OF_BALANCE = 1.0  # once more back, for the length of the gradient that the discriminator's is balanced with
OF_CRITIC = 10.0  # reconstructions forward, back twice, once to the weights; its own step on both images


def unet_tally(options: DiffusionOptions, channels: int, side: int) -> Tally:
    """The UNet on codes [channels, side, side]."""
    tally, widths = Tally(), options.channels
    levels, embedding = len(widths), 4 * widths[0]
    attends = [i >= levels - options.attention for i in range(levels)]
    tally.conv(widths[0], embedding, 1, kernel=1)
    tally.conv(embedding, embedding, 1, kernel=1)
    tally.conv(channels, widths[0], side)
    skips, width = [widths[0]], widths[0]
    for i, out in enumerate(widths):
        for _ in range(options.layers):
            tally.residual(width, out, side, embedding)
            if attends[i]:
                tally.attention(out, side)
            width = out
            skips.append(out)
        if i + 1 < levels:
            side = math.ceil(side / 2)
            tally.conv(out, out, side)
            skips.append(out)
    tally.residual(width, width, side, embedding)
    tally.residual(width, width, side, embedding)
    if options.attention:
        tally.attention(width, side)
    for i in reversed(range(levels)):
        for _ in range(options.layers + 1):
            tally.residual(width + skips.pop(), widths[i], side, embedding)
            if attends[i]:
                tally.attention(widths[i], side)
            width = widths[i]
        if i:
            side *= 2
            tally.conv(width, width, side)
    tally.conv(width, channels, side)
    return tally


def autoencoder_tallies(options: LatentOptions, side: int) -> tuple[Tally, Tally]:
    """(encoder, decoder) on unshuffled pixels of ``side`` x ``side``."""
    encoder, decoder = Tally(), Tally()
    channels, widths, latent = 3 * options.patch**2, options.ae_channels, options.latent_channels
    deepest, middle = widths[-1], math.ceil(side / options.reduction)
    encoder.conv(channels, widths[0], side)
    decoder.conv(latent, deepest, middle)
    for half in (encoder, decoder):
        half.residual(deepest, deepest, middle)
        half.residual(deepest, deepest, middle)
        if options.ae_attention:
            half.attention(deepest, middle)
    width, here = widths[0], side
    for i, out in enumerate(widths):
        for block in range(options.ae_layers):
            encoder.residual(width if block == 0 else out, out, here)
        for block in range(options.ae_layers + 1):
            above = widths[min(i + 1, len(widths) - 1)]
            decoder.residual(above if block == 0 else out, out, here)
        width = out
        if i + 1 < len(widths):
            decoder.conv(widths[i + 1], widths[i + 1], here)
            here = math.ceil(here / 2)
            encoder.conv(out, out, here)
    encoder.conv(deepest, 2 * latent, middle)
    decoder.conv(widths[0], channels, side)
    return encoder, decoder


def denoiser_cost(options: DiffusionOptions, channels: int, side: int, frozen_macs: float = 0.0) -> Cost:
    """Cost of training the UNet on codes [channels, side, side], each made at ``frozen_macs`` multiply-adds."""
    tally = unet_tally(options, channels, side)
    return _cost(tally, options.steps, options.batch, frozen_macs)


def perceptual_tally(net: str, side: int) -> Tally:
    """The network behind LPIPS on one image of ``side`` x ``side`` pixels."""
    tally, width = Tally(), 3
    for out, kernel, smaller in VGG16 if net == "vgg" else ALEXNET:
        tally.conv(width, out, max(1, side // smaller), kernel=kernel)
        width = out
    return tally


def critic_tally(options: LatentOptions, side: int) -> Tally:
    """The discriminator of patches on one image of ``side`` x ``side`` pixels."""
    layers = max(1, min(options.disc_layers, side.bit_length() - 3))
    tally, width = Tally(), 3
    for i in range(layers):
        side //= 2
        tally.conv(width, options.disc_channels * min(2**i, 8), side, kernel=4)
        width = options.disc_channels * min(2**i, 8)
    last = options.disc_channels * min(2**layers, 8)
    tally.conv(width, last, side - 1, kernel=4)
    tally.conv(last, 1, side - 2, kernel=4)
    return tally


def latent_cost(options: LatentOptions, size: int) -> Cost:
    """Cost of both phases on images of ``size`` x ``size`` pixels; memory and disk of the larger one."""
    unit = options.patch * options.stride * options.reduction
    side = -(-size // unit) * unit // options.patch
    encoder, decoder = autoencoder_tallies(options, side)
    both = Tally(*(getattr(encoder, f.name) + getattr(decoder, f.name) for f in fields(Tally)))
    first = _sharpened(_cost(both, options.ae_steps, options.ae_batch), options, size)
    second = denoiser_cost(options, options.code_channels, side // options.reduction, encoder.macs)
    return Cost(
        first.steps + second.steps,
        first.flops + second.flops,
        max(first.memory_mb, second.memory_mb),
        max(first.disk_mb, second.disk_mb),
    )


def _sharpened(cost: Cost, options: LatentOptions, size: int) -> Cost:
    """``cost`` of training the autoencoder, and that of LPIPS and the discriminator of patches where they are used."""
    images = float(options.ae_steps * options.ae_batch)
    judged = float(max(0, options.ae_steps - options.disc_start) * options.ae_batch) * bool(options.adversarial_weight)
    macs = memory = disk = 0.0
    if options.perceptual_weight:
        judge = perceptual_tally(options.perceptual_net, size)
        macs += (OF_PERCEPTUAL * images + OF_BALANCE * judged) * judge.macs
        memory += 4.0 * (judge.parameters + judge.kept * options.ae_batch) / 2**20
    if options.adversarial_weight:
        critic = critic_tally(options, size)
        macs += OF_CRITIC * judged * critic.macs
        disk = 4.0 * CRITIC_COPIES * critic.parameters / 2**20
        memory += disk + 4.0 * 2.0 * critic.kept * options.ae_batch / 2**20
    return Cost(cost.steps, cost.flops + 2.0 * macs, cost.memory_mb + memory, cost.disk_mb + disk)


def _cost(tally: Tally, steps: int, batch: int, frozen_macs: float = 0.0) -> Cost:
    weights_mb = 4.0 * tally.parameters / 2**20
    activations_mb = 4.0 * tally.kept * batch / 2**20
    flops = 2.0 * steps * batch * (BACKWARD * tally.macs + frozen_macs)
    return Cost(steps, flops, TRAINING_COPIES * weights_mb + activations_mb, TRAINING_COPIES * weights_mb)
