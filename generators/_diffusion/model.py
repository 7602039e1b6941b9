"""A fitted diffusion model: codec, denoiser and the two ways to draw from them, from noise and from given images.

What else it can do is in the modules ``guiding``, ``inverting``, ``losses`` and ``finetuning`` beside this one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.contracts import Context, Images, Labels
from bench.errors import ConfigError, DataError
from bench.loop import autocast, placed
from bench.pixels import PixelArray, UInt8, chunks
from generators._diffusion.codecs import Codec, to_float, to_uint8
from generators._diffusion.networks import plain_config
from generators._diffusion.noise import ForwardProcess, steps_from, trailing_timesteps
from generators._diffusion.options import DiffusionOptions
from generators._diffusion.sampling import Predict, denoised

Batch = Callable[[Tensor, Tensor], Tensor]


class DiffusionModel:
    """``size``: (H, W) of the images; ``num_classes`` K, so that class K is the null class."""

    def __init__(
        self, options: DiffusionOptions, codec: Codec, unet: nn.Module, size: tuple[int, int], num_classes: int
    ) -> None:
        self.options, self.codec, self.unet = options, codec, unet.eval().requires_grad_(False)
        self.size, self.num_classes = size, num_classes
        process = ForwardProcess(options)
        pairs = zip(process.sigma.tolist(), process.alpha.tolist(), strict=True)
        self._levels = [sigma / alpha if alpha > 0 else math.inf for sigma, alpha in pairs]

    @torch.no_grad()
    def sample(self, labels: Labels, ctx: Context) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, H, W, 3].

        Raises DataError for labels that the model never saw.
        """
        self.check_labels(labels)
        eps = image_noise(len(labels), self.codec.code_shape(self.size), ctx.seed)
        steps = self.options.sampling_steps
        return self.pictures(
            lambda rows, y: self.decoded(self.predictor(y), eps[rows].to(ctx.device), ctx, steps), labels, ctx
        )

    @torch.no_grad()
    def vary(self, images: Images, ctx: Context, strength: float) -> UInt8:
        """SDEdit: noise the codes of ``images`` to time ``strength`` in (0, 1], then denoise for their labels.

        Meng et al. (2022, arXiv:2108.01073), algorithm 1. uint8 [N, H, W, 3].
        """
        if not 0.0 < strength <= 1.0:
            raise ConfigError(f"strength must lie in (0, 1], got {strength}")
        self.check_images(images)
        total, begin = steps_from(self.options, strength)
        start = trailing_timesteps(self.options.timesteps, total)[begin].to(ctx.device)
        process = ForwardProcess(self.options, ctx.device)
        eps = image_noise(len(images), self.codec.code_shape(self.size), ctx.seed)

        def batch(rows: Tensor, y: Tensor) -> Tensor:
            z_t = process.add_noise(
                self.encoded(images.pixels, rows, ctx), eps[rows].to(ctx.device), start.expand(len(rows))
            )
            return self.decoded(self.predictor(y), z_t, ctx, total, begin)

        return self.pictures(batch, images.labels, ctx)

    @torch.no_grad()
    def reconstruct(self, images: Images, ctx: Context) -> UInt8:
        """``images`` encoded and decoded without any diffusion, uint8 [N, H, W, 3]."""
        self.check_size(images.pixels)

        def batch(rows: Tensor, y: Tensor) -> Tensor:
            with autocast(ctx):
                return self.codec.decode(self.encoded(images.pixels, rows, ctx), self.size)

        return self.pictures(batch, images.labels, ctx)

    def state(self) -> dict[str, Any]:
        """Tree of tensors and numbers from which the generator rebuilds the model."""
        state = {
            "size": list(self.size),
            "num_classes": self.num_classes,
            "codec": self.codec.state(),
            "unet": self.unet.state_dict(),
        }
        if self.options.unet is not None:
            state["unet_config"] = plain_config(self.unet)
        return state

    def predictor(self, y: Tensor) -> Predict:
        """(z_t, t) -> the network's prediction for labels ``y`` int64 [B], under classifier-free guidance.

        Ho & Salimans (2022, arXiv:2207.12598), eq. 6, in the form where scale 1 is the conditional model; at noise
        levels outside ``guidance_interval`` the conditional model alone.
        """
        scale, conditional = self.options.guidance, self.conditional(y)

        def guided(z: Tensor, t: Tensor) -> Tensor:
            if not self._in_interval(t):
                return conditional(z, t)
            both = torch.cat([torch.full_like(y, self.num_classes), y])
            null, given = self.unet(torch.cat([z, z]), t.to(z.device), class_labels=both).sample.float().chunk(2)
            return null + scale * (given - null)  # type: ignore[no-any-return]

        return conditional if scale == 1.0 else guided

    def conditional(self, y: Tensor) -> Predict:
        """(z_t, t) -> the network's prediction for labels ``y`` int64 [B] alone."""

        def predict(z: Tensor, t: Tensor) -> Tensor:
            return self.unet(z, t.to(z.device), class_labels=y).sample.float()  # type: ignore[no-any-return]

        return predict

    def decoded(self, predict: Predict, z: Tensor, ctx: Context, steps: int, begin: int = 0) -> Tensor:
        """Images [B, 3, H, W] in about [-1, 1] of noise ``z``, by the sampler's ``steps`` steps from ``begin`` on."""
        with autocast(ctx):
            return self.codec.decode(denoised(self.options, predict, z, steps, begin), self.size)

    def encoded(self, pixels: PixelArray, rows: Tensor, ctx: Context) -> Tensor:
        """Codes of the images at ``rows`` int64 [B]."""
        x_nhwc = torch.from_numpy(np.ascontiguousarray(pixels[rows.numpy()]))
        with autocast(ctx):
            return self.codec.encode(to_float(x_nhwc.permute(0, 3, 1, 2).to(ctx.device)))

    def pictures(self, batch: Batch, labels: Labels, ctx: Context) -> UInt8:
        """Images uint8 [M, H, W, 3] of what ``batch`` gives in [-1, 1]; see :meth:`in_batches`."""
        out = np.empty((len(labels), *self.size, 3), dtype=np.uint8)
        return self.in_batches(lambda rows, y: to_uint8(batch(rows, y)).permute(0, 2, 3, 1), labels, ctx, out)

    def in_batches(self, batch: Batch, labels: Labels, ctx: Context, out: NDArray[Any]) -> NDArray[Any]:
        """``out`` [M, ...] filled with the rows of ``batch(rows, labels)``.

        It is always called with ``sampling_batch`` rows, at the end with the last one repeated, so that the shapes of
        the network's matrices, and with them the rounding of an image, do not depend on the others.
        """
        self.placed(ctx.device)
        n, width = len(labels), self.options.sampling_batch
        for part in chunks(n, width):
            rows = torch.arange(part.start, part.start + width).clamp(max=n - 1)
            y = torch.from_numpy(labels)[rows].to(ctx.device)
            out[part] = batch(rows, y)[: part.stop - part.start].cpu().numpy()
            ctx.log(part.stop, n)
        return out

    def placed(self, device: str) -> None:
        """Move network and codec to ``device``."""
        placed(self.unet, device)
        self.codec.to(device)

    def check_images(self, images: Images) -> None:
        """Raise DataError for images of other classes or another size than those of the fit."""
        self.check_labels(images.labels)
        self.check_size(images.pixels)

    def check_labels(self, labels: Labels) -> None:
        """Raise DataError for labels that the model never saw."""
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise DataError(f"labels must lie in 0..{self.num_classes - 1}, the classes the generator was fitted on")

    def check_size(self, pixels: PixelArray) -> None:
        """Raise DataError for images of another size than those of the fit."""
        if tuple(pixels.shape[1:3]) != self.size:
            given, own = "x".join(map(str, pixels.shape[1:3])), "x".join(map(str, self.size))
            raise DataError(f"images are {given} pixels, the generator was fitted on {own}: resize them first")

    def _in_interval(self, t: Tensor) -> bool:
        if self.options.guidance_interval is None:
            return True
        low, high = self.options.guidance_interval
        return low < self._levels[int(t)] <= high


def image_noise(n: int, code_shape: tuple[int, int, int], seed: int) -> Tensor:
    """Standard normal noise float32 [n, C, h, w] on the CPU; row i depends on ``seed`` and i alone."""
    rng = torch.Generator().manual_seed(seed)
    eps = torch.empty(n, *code_shape)
    for row in eps:
        row.normal_(generator=rng)
    return eps
