"""Losses that keep an autoencoder's texture: LPIPS, and a discriminator of patches (Esser et al. 2021, section 3.1).

Esser et al. 2021, arXiv:2012.09841; used for latent diffusion by Rombach et al. 2022, arXiv:2112.10752, appendix G.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import ConfigError
from bench.metrics.perceptual import SMALLEST, lpips_distance
from generators._diffusion.latent_options import LatentOptions
from generators._diffusion.training import Optimiser

LARGEST_WEIGHT = 1e4
SMALLEST_GRADIENT = 1e-4  # delta of eq. 7 is 1e-6 there; this is what the authors trained with


class Perceptual:
    """LPIPS between images in [-1, 1], differentiable; raises ConfigError where its weights are not at hand."""

    def __init__(self, net: str, size: tuple[int, int], device: str) -> None:
        if min(size) < SMALLEST[net]:
            raise ConfigError(
                f"LPIPS ({net}) needs images of at least {SMALLEST[net]} px, these have {min(size)}: "
                "set perceptual_weight=0, or perceptual_net=vgg (16 px)"
            )
        self.network = lpips_distance(net=net, device=device).model.requires_grad_(False)

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Mean distance [] of float [B, 3, H, W] from ``target``."""
        distance: Tensor = self.network(x.float(), target.float()).mean()
        return distance


def patch_discriminator(width: int, layers: int, side: int) -> nn.Sequential:
    """[B, 3, H, W] -> logits [B, 1, h, w], one for each overlapping patch (Isola et al. 2017, arXiv:1611.07004).

    4 x 4 convolutions, the first ``layers`` of stride 2, batch normalisation in all but the first and last. Fewer
    layers than asked for where images of ``side`` px would vanish.
    """
    layers = max(1, min(layers, side.bit_length() - 3))
    widths = [width * min(2**i, 8) for i in range(layers + 1)]
    body: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
    for i in range(1, layers + 1):
        stride = 2 if i < layers else 1
        body += [nn.Conv2d(widths[i - 1], widths[i], 4, stride, 1, bias=False), nn.BatchNorm2d(widths[i])]
        body.append(nn.LeakyReLU(0.2))
    network = nn.Sequential(*body, nn.Conv2d(widths[-1], 1, 4, 1, 1))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return network


class Adversary:
    """The patch discriminator, its optimiser, and the adversarial part of the autoencoder's loss."""

    def __init__(self, options: LatentOptions, size: tuple[int, int], device: str) -> None:
        self.weight, self.start = options.adversarial_weight, options.disc_start
        self.network = patch_discriminator(options.disc_channels, options.disc_layers, min(size)).to(device).train()
        self.optimiser = Optimiser(
            self.network.parameters(),
            lr=options.ae_lr,
            steps=options.ae_steps,
            warmup=0,
            decay=0.0,
            clip=options.grad_clip,
        )

    def loss(self, x: Tensor, other: Tensor, last_layer: Tensor, i: int) -> Tensor:
        """Weighted -mean D(x) of reconstructions at step ``i``; 0 before ``disc_start``.

        Eq. 7 of Esser et al.: the weight makes its gradient at the decoder's ``last_layer`` as long as that of the
        ``other`` losses [].
        """
        if i < self.start:
            return other.new_zeros(())
        fooling: Tensor = -self.network(x).mean()
        (pull,) = torch.autograd.grad(other, last_layer, retain_graph=True)
        (push,) = torch.autograd.grad(fooling, last_layer, retain_graph=True)
        balance = (pull.norm() / (push.norm() + SMALLEST_GRADIENT)).clamp(0.0, LARGEST_WEIGHT).detach()
        weighted: Tensor = self.weight * balance * fooling
        return weighted

    def step(self, x: Tensor, target: Tensor, i: int) -> Tensor:
        """One update of the discriminator on images ``target`` and reconstructions ``x``; its hinge loss []."""
        if i < self.start:
            return target.new_zeros(())
        real, made = self.network(target.detach()), self.network(x.detach())
        loss = 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + made).mean())
        self.optimiser.step(loss, i)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.adamw.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.adamw.load_state_dict(state["optimiser"])
