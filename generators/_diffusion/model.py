"""A fitted diffusion model: codec, denoiser and the two ways to draw from them, from noise and from given images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts import Context, Images, Labels
from bench.errors import ConfigError, DataError
from bench.loop import autocast
from bench.pixels import PixelArray, UInt8, chunks
from generators._diffusion.codecs import Codec, to_float, to_uint8
from generators._diffusion.networks import placed
from generators._diffusion.noise import ForwardProcess, build_sampler, steps_from
from generators._diffusion.options import DiffusionOptions

Predict = Callable[[Tensor, Tensor], Tensor]


class DiffusionModel:
    """``size``: (H, W) of the images; ``num_classes`` K, so that class K is the null class."""

    def __init__(
        self, options: DiffusionOptions, codec: Codec, unet: nn.Module, size: tuple[int, int], num_classes: int
    ) -> None:
        self.options, self.codec, self.unet = options, codec, unet.eval().requires_grad_(False)
        self.size, self.num_classes = size, num_classes

    @torch.inference_mode()
    def sample(self, labels: Labels, ctx: Context) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, H, W, 3].

        Raises DataError for labels that the model never saw.
        """
        self._check_labels(labels)
        eps = image_noise(len(labels), self.codec.code_shape(self.size), ctx.seed)
        return self._in_batches(
            lambda rows, y: self._reverse(eps[rows].to(ctx.device), y, self.options.sampling_steps, 0, ctx), labels, ctx
        )

    @torch.inference_mode()
    def vary(self, images: Images, ctx: Context, strength: float) -> UInt8:
        """SDEdit: noise the codes of ``images`` to time ``strength`` in (0, 1], then denoise for their labels.

        Meng et al. (2022, arXiv:2108.01073), algorithm 1. uint8 [N, H, W, 3].
        """
        if not 0.0 < strength <= 1.0:
            raise ConfigError(f"strength must lie in (0, 1], got {strength}")
        self._check_labels(images.labels)
        self._check_size(images.pixels)
        total, begin = steps_from(self.options, strength)
        start = build_sampler(self.options, total)[1][begin].to(ctx.device)
        process = ForwardProcess(self.options, ctx.device)
        eps = image_noise(len(images), self.codec.code_shape(self.size), ctx.seed)

        def batch(rows: Tensor, y: Tensor) -> Tensor:
            x = self._pixels(images.pixels, rows, ctx)
            with autocast(ctx):
                z = self.codec.encode(x)
            z_t = process.add_noise(z, eps[rows].to(ctx.device), start.expand(len(rows)))
            return self._reverse(z_t, y, total, begin, ctx)

        return self._in_batches(batch, images.labels, ctx)

    @torch.inference_mode()
    def reconstruct(self, images: Images, ctx: Context) -> UInt8:
        """``images`` encoded and decoded without any diffusion, uint8 [N, H, W, 3]."""
        self._check_size(images.pixels)

        def batch(rows: Tensor, y: Tensor) -> Tensor:
            with autocast(ctx):
                return self.codec.decode(self.codec.encode(self._pixels(images.pixels, rows, ctx)), self.size)

        return self._in_batches(batch, images.labels, ctx)

    def state(self) -> dict[str, Any]:
        """Tree of tensors and numbers from which the generator rebuilds the model."""
        return {
            "size": list(self.size),
            "num_classes": self.num_classes,
            "codec": self.codec.state(),
            "unet": self.unet.state_dict(),
        }

    def predictor(self, y: Tensor) -> Predict:
        """(z_t, t) -> the network's prediction for labels ``y`` int64 [B], under classifier-free guidance.

        Ho & Salimans (2022, arXiv:2207.12598), eq. 6, in the form where scale 1 is the conditional model.
        """
        scale = self.options.guidance

        def conditional(z: Tensor, t: Tensor) -> Tensor:
            return self.unet(z, t, class_labels=y).sample.float()  # type: ignore[no-any-return]

        def guided(z: Tensor, t: Tensor) -> Tensor:
            both = torch.cat([torch.full_like(y, self.num_classes), y])
            null, given = self.unet(torch.cat([z, z]), t, class_labels=both).sample.float().chunk(2)
            return null + scale * (given - null)  # type: ignore[no-any-return]

        return conditional if scale == 1.0 else guided

    def _reverse(self, z: Tensor, y: Tensor, steps: int, begin: int, ctx: Context) -> Tensor:
        scheduler, timesteps = build_sampler(self.options, steps)
        if begin and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        predict = self.predictor(y)
        with autocast(ctx):
            for t in timesteps[begin:]:
                z = scheduler.step(predict(z, t.to(z.device)), t, z).prev_sample
            return self.codec.decode(z, self.size)

    def _in_batches(self, batch: Callable[[Tensor, Tensor], Tensor], labels: Labels, ctx: Context) -> UInt8:
        """Images of ``batch(rows, labels)``, always called with ``sampling_batch`` rows: the last one is repeated."""
        placed(self.unet, ctx.device)
        self.codec.to(ctx.device)
        n, width = len(labels), self.options.sampling_batch
        out = np.empty((n, *self.size, 3), dtype=np.uint8)
        for part in chunks(n, width):
            rows = torch.arange(part.start, part.start + width).clamp(max=n - 1)
            y = torch.from_numpy(labels)[rows].to(ctx.device)
            images = to_uint8(batch(rows, y))[: part.stop - part.start]
            out[part] = images.permute(0, 2, 3, 1).cpu().numpy()
            ctx.log(part.stop, n)
        return out

    def _pixels(self, pixels: PixelArray, rows: Tensor, ctx: Context) -> Tensor:
        x_nhwc = torch.from_numpy(np.ascontiguousarray(pixels[rows.numpy()]))
        return to_float(x_nhwc.permute(0, 3, 1, 2).to(ctx.device))

    def _check_labels(self, labels: Labels) -> None:
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise DataError(f"labels must lie in 0..{self.num_classes - 1}, the classes the generator was fitted on")

    def _check_size(self, pixels: PixelArray) -> None:
        if tuple(pixels.shape[1:3]) != self.size:
            given, own = "x".join(map(str, pixels.shape[1:3])), "x".join(map(str, self.size))
            raise DataError(f"images are {given} pixels, the generator was fitted on {own}: resize them first")


def image_noise(n: int, code_shape: tuple[int, int, int], seed: int) -> Tensor:
    """Standard normal noise float32 [n, C, h, w] on the CPU; row i depends on ``seed`` and i alone."""
    rng = torch.Generator().manual_seed(seed)
    eps = torch.empty(n, *code_shape)
    for row in eps:
        row.normal_(generator=rng)
    return eps
