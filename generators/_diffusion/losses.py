"""The denoising loss of single images, over noise and times that are the same for all."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts import Context, Images
from bench.loop import autocast
from generators._diffusion.model import DiffusionModel, image_noise
from generators._diffusion.noise import ForwardProcess


@torch.no_grad()
def losses(model: DiffusionModel, images: Images, ctx: Context) -> NDArray[np.float64]:
    """Weighted training loss float64 [N] of each image under its label, averaged over ``loss_timesteps`` noise times.

    Times lie in the middle of equal parts of 0..T; one noise a time, from ``ctx.seed``, the same for every image
    (Carlini et al. 2023, arXiv:2301.13188, section 5.2.1: a shared draw makes losses comparable).
    """
    model.check_images(images)
    options, process = model.options, ForwardProcess(model.options, ctx.device)
    count = min(options.loss_timesteps, options.timesteps)
    times = ((torch.arange(count, dtype=torch.float64) + 0.5) * options.timesteps / count).long()
    noise = image_noise(count, model.codec.code_shape(model.size), ctx.seed)

    def batch(rows: Tensor, y: Tensor) -> Tensor:
        z = model.encoded(images.pixels, rows, ctx)
        total = torch.zeros(len(rows), dtype=torch.float64)
        for t, eps in zip(times, noise, strict=True):
            t_b, eps_b = t.to(ctx.device).expand(len(rows)), eps.to(ctx.device).expand_as(z)
            with autocast(ctx):
                predicted = model.conditional(y)(process.add_noise(z, eps_b, t_b), t)
            error = (predicted - process.target(z, eps_b, t_b)).square().mean(dim=(1, 2, 3))
            total += (process.weight(t_b) * error).double().cpu()
        return total / count

    return model.in_batches(batch, images.labels, ctx, np.empty(len(images)))
