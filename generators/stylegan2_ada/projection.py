"""Images to latents: the w whose image is nearest to a given one, found by gradient descent.

Abdal et al. (2019, arXiv:1904.03189) for a w a layer; Karras et al. (2020, arXiv:1912.04958), appendix D, for one w.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.contracts import Context, Images
from bench.errors import DataError
from generators.stylegan2_ada.layers import NoiseMode
from generators.stylegan2_ada.model import Float32, StyleModel
from generators.stylegan2_ada.options import StyleOptions

WIDTH = 16  # images at a time; fewer are repeated, so that none depends on how many others are projected with it
Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Distance [B] of images float32 [B, 3, R, R] in -1..1, differentiable, to be added to the loss."""


def invert(
    model: StyleModel, images: Images, options: StyleOptions, ctx: Context, perceptual: Perceptual | None = None
) -> Float32:
    """w float32 [N, L, w_dim] of ``images``, that of every image found apart from the others.

    Minimises the mean squared difference of pixels, plus ``perceptual`` where given, from the mean w of the class on,
    by Adam with a cosine rate; the w of the lowest loss is kept. Raises DataError for images of another size.
    """
    side = model.shape.resolution
    if images.size != (side, side):
        given = "x".join(map(str, images.size))
        raise DataError(f"images are {given} pixels, the generator was fitted on {side}x{side}: resize them first")
    model.check_labels(images.labels)
    out = np.empty((len(images), model.shape.num_ws, model.shape.w_dim), dtype=np.float32)
    done = 0
    for label, rows in model.batches(images.labels, WIDTH):
        network, padded = model.network(label).to(ctx.device), np.resize(rows, WIDTH)
        pixels = np.ascontiguousarray(images.pixels[padded])
        target = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(ctx.device).float() / 127.5 - 1.0
        start = centres(network.mapping, model.condition(images.labels[padded], ctx.device), WIDTH, ctx.seed)
        loss = _distance(network.synthesis, target, model.still_noise, perceptual)
        out[rows] = descend(loss, start, options)[: len(rows)].cpu().numpy()
        done += len(rows)
        ctx.log(done, len(images))
    return out


def descend(loss: Callable[[Tensor], Tensor], start: Tensor, options: StyleOptions) -> Tensor:
    """The best of ``invert_steps`` steps of Adam on ``loss``: ws [B, L, D] -> [B]; rows do not see each other.

    ``invert_space`` "w" keeps one w for all layers.
    """
    layers = start.shape[1]
    free = (start if options.invert_space == "w+" else start[:, :1]).clone().requires_grad_()
    adam = torch.optim.Adam([free], lr=options.invert_lr, betas=(0.9, 0.999))
    best, lowest = free.detach().clone(), torch.full((len(free),), math.inf, device=free.device)
    for i in range(options.invert_steps):
        adam.param_groups[0]["lr"] = options.invert_lr * 0.5 * (1 + math.cos(math.pi * i / options.invert_steps))
        each = loss(free.expand(-1, layers, -1))
        better = each.detach() < lowest
        best = torch.where(better[:, None, None], free.detach(), best)
        lowest = torch.where(better, each.detach(), lowest)
        (free.grad,) = torch.autograd.grad(each.sum(), free)
        adam.step()
    return best.expand(-1, layers, -1)


@torch.no_grad()
def centres(mapping: torch.nn.Module, c: Tensor | None, n: int, seed: int, draws: int = 256) -> Tensor:
    """The mean w of each row's class, [n, L, w_dim], over ``draws`` latents fixed by ``seed``."""
    z = torch.randn(draws, mapping.z_dim, generator=torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
    if c is None:
        return mapping(z.to(next(mapping.parameters()).device), None).mean(0).expand(n, -1, -1)  # type: ignore[no-any-return]
    found = {}
    for row in c:
        key = int(row.argmax())
        if key not in found:
            found[key] = mapping(z.to(c.device), row.expand(draws, -1)).mean(0)
    return torch.stack([found[int(row.argmax())] for row in c])


def _distance(
    synthesis: torch.nn.Module, target: Tensor, noise: NoiseMode, perceptual: Perceptual | None
) -> Callable[[Tensor], Tensor]:
    def loss(ws: Tensor) -> Tensor:
        images = synthesis(ws, noise)
        error = (images - target).square().flatten(1).mean(1)
        return error if perceptual is None else error + perceptual(images, target)

    return loss


def lpips_of(weight: float, device: str) -> Perceptual:
    """``weight`` times LPIPS with VGG16; raises ConfigError that says how to get the weights if they are not here."""
    from bench.metrics.perceptual import lpips_distance

    network: Any = lpips_distance(device=device).model.requires_grad_(False)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return weight * network(_large_enough(a), _large_enough(b)).flatten()  # type: ignore[no-any-return]

    return distance


def _large_enough(x: Tensor, least: int = 32) -> Tensor:
    """``x`` enlarged to the side that the network's five levels need."""
    if x.shape[-1] >= least:
        return x
    return torch.nn.functional.interpolate(x, size=(least, least), mode="bilinear", align_corners=False)
