"""Images to latents and back, and images as a function of their starting noise."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts import Context, Images, Labels
from bench.errors import DataError
from bench.loop import autocast
from bench.pixels import UInt8
from generators._diffusion.model import DiffusionModel
from generators._diffusion.noise import trailing_timesteps
from generators._diffusion.sampling import Flow, ddim, ddim_inverse


@torch.no_grad()
def invert(model: DiffusionModel, images: Images, ctx: Context) -> NDArray[np.float32]:
    """Latents float32 [N, C, h, w], about standard normal, from which DDIM leads back to ``images``.

    Classifier-free guidance stays off in both directions: under it the way there is not the way back.
    """
    model.check_images(images)
    options = model.options
    timesteps = trailing_timesteps(options.timesteps, min(options.inversion_steps, options.timesteps))
    out = np.empty((len(images), *model.codec.code_shape(model.size)), dtype=np.float32)

    def batch(rows: Tensor, y: Tensor) -> Tensor:
        z = model.encoded(images.pixels, rows, ctx).float()
        with autocast(ctx):
            return ddim_inverse(Flow(options, model.conditional(y)), z, timesteps, options.inversion_iterations)

    return model.in_batches(batch, images.labels, ctx, out)


@torch.no_grad()
def render(model: DiffusionModel, latents: NDArray[np.float32], labels: Labels, ctx: Context) -> UInt8:
    """Images uint8 [N, H, W, 3] of ``latents`` [N, C, h, w] by the DDIM steps that :func:`invert` undoes."""
    model.check_labels(labels)
    z = _latents(model, latents, labels)
    options = model.options
    timesteps = trailing_timesteps(options.timesteps, min(options.inversion_steps, options.timesteps))

    def batch(rows: Tensor, y: Tensor) -> Tensor:
        with autocast(ctx):
            code = ddim(Flow(options, model.conditional(y)), z[rows].to(ctx.device), timesteps)
            return model.codec.decode(code, model.size)

    return model.pictures(batch, labels, ctx)


def latent_size(model: DiffusionModel) -> int:
    """Numbers of the noise that an image starts from."""
    return math.prod(model.codec.code_shape(model.size))


@torch.no_grad()
def render_latents(model: DiffusionModel, z: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
    """Images float32 [M, H, W, 3] in 0..255, neither rounded nor clipped, of starting noise ``z`` [M, latent_size].

    By the sampler of the options, which adds no noise of its own: the image is a function of ``z`` and the label.
    """
    model.check_labels(labels)
    noise = _latents(model, z, labels)
    out = np.empty((len(labels), *model.size, 3), dtype=np.float32)

    def batch(rows: Tensor, y: Tensor) -> Tensor:
        x = model.decoded(model.predictor(y), noise[rows].to(ctx.device), ctx, model.options.sampling_steps)
        return ((x.float() + 1.0) * 127.5).permute(0, 2, 3, 1)

    return model.in_batches(batch, labels, ctx, out)


def _latents(model: DiffusionModel, z: NDArray[np.float32], labels: Labels) -> Tensor:
    shape = model.codec.code_shape(model.size)
    rows = np.ascontiguousarray(z, dtype=np.float32)
    if len(rows) != len(labels) or rows.size != len(labels) * math.prod(shape):
        raise DataError(f"latents of shape {rows.shape} given, needed are {(len(labels), *shape)}, or the same flat")
    return torch.from_numpy(rows).reshape(len(labels), *shape)
