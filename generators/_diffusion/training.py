"""Training of the denoising UNet on codes of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from bench.contracts import Context, Images
from bench.loop import BatchRows, PixelTensor, autocast, placed, seed_all, train_loop
from bench.training.accumulation import MicroBatches
from bench.training.grids import SampleGrids
from bench.training.settings import settings
from generators._diffusion.augment import random_symmetry
from generators._diffusion.averaging import averaged
from generators._diffusion.codecs import Codec, to_float
from generators._diffusion.noise import ForwardProcess, stratified_timesteps
from generators._diffusion.options import DiffusionOptions, learning_rate_factor

Told = TypeVar("Told")


class Optimiser:
    """AdamW with warm-up, cosine decay and gradient clipping; the rate follows from the step alone."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, lr: float, steps: int, warmup: int, decay: float, clip: float
    ) -> None:
        self.parameters = list(parameters)
        self.adamw = torch.optim.AdamW(self.parameters, lr=lr, weight_decay=decay, betas=(0.9, 0.99), fused=True)
        self.lr, self.steps, self.warmup, self.clip = lr, steps, warmup, clip

    def step(self, loss: Tensor, i: int) -> None:
        """One update from the gradient of ``loss`` at step ``i`` (from 0)."""
        self.update(loss.backward, i)

    def update(self, backward: Callable[[], Told], i: int) -> Told:
        """One update at step ``i`` from the gradients that ``backward`` leaves; what it tells."""
        for group in self.adamw.param_groups:
            group["lr"] = self.lr * learning_rate_factor(i, self.steps, self.warmup)
        self.adamw.zero_grad(set_to_none=True)
        told = backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.adamw.step()
        return told


def evenly_spaced(train: Images, numbers: int = 2**25) -> Tensor:
    """Images of ``train`` at even distances, float32 [n, 3, H, W] with at most ``numbers`` numbers, for statistics."""
    height, width = train.size
    n = min(len(train), max(1, numbers // (3 * height * width)))
    rows = torch.linspace(0, len(train) - 1, n, dtype=torch.float64).round().long()
    return to_float(PixelTensor(train.take(rows.numpy()).pixels)[torch.arange(len(rows))])


class DenoisingLoss:
    """The weighted error of a network's prediction on a batch of images, under random symmetries, noise and times."""

    def __init__(self, options: DiffusionOptions, codec: Codec, null: int, ctx: Context) -> None:
        self.options, self.codec, self.null, self.ctx = options, codec, null, ctx
        self.process = ForwardProcess(options, ctx.device)

    def __call__(self, unet: nn.Module, x_u8: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Loss [] of images uint8 [B, 3, H, W] of ``labels`` int64 [B]; ``rng`` draws all but the noise."""
        return self.of(unet, self.drawn(x_u8, labels, rng), slice(0, len(x_u8)))

    def drawn(self, x_u8: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(code, noise [B, C, h, w], time, label [B]) of a batch: all that is random in its loss but dropout."""
        options, device = self.options, self.ctx.device
        x = to_float(random_symmetry(x_u8, options.augment, rng))
        y = dropped_labels(labels, self.null, options.class_dropout, rng).to(device)
        t = stratified_timesteps(len(x), options.timesteps, rng).to(device)
        with autocast(self.ctx):
            with torch.no_grad():
                z = self.codec.encode(x)
            return z, torch.randn_like(z), t, y

    def of(self, unet: nn.Module, batch: tuple[Tensor, Tensor, Tensor, Tensor], rows: slice) -> Tensor:
        """Mean loss [] over ``rows`` of a ``drawn`` batch."""
        z, eps, t, y = (column[rows] for column in batch)
        with autocast(self.ctx):
            predicted = unet(self.process.add_noise(z, eps, t), t, class_labels=y).sample
        error: Tensor = (predicted.float() - self.process.target(z, eps, t)).square().mean(dim=(1, 2, 3))
        return (self.process.weight(t) * error).mean()


def train_denoiser(options: DiffusionOptions, train: Images, codec: Codec, ctx: Context) -> nn.Module:
    """The EMA of a UNet trained on the codes of ``train``, on the CPU; resumes from ``ctx``."""
    from generators._diffusion.model import DiffusionModel
    from generators._diffusion.pretrained import starting_unet

    seed_all(ctx.seed)
    codec.to(ctx.device)
    unet = placed(starting_unet(options, codec.code_shape(train.size), train.num_classes), ctx.device)
    ema = averaged(options, unet)
    optimiser = Optimiser(
        unet.parameters(),
        lr=options.lr,
        steps=options.steps,
        warmup=options.warmup,
        decay=options.weight_decay,
        clip=options.grad_clip,
    )
    loss_of = DenoisingLoss(options, codec, train.num_classes, ctx)
    micro = MicroBatches(unet.parameters(), options.batch, tell=getattr(ctx, "note", None))
    sampled = DiffusionModel(options, codec, ema.module, train.size, train.num_classes)
    grids = SampleGrids(ctx, train.num_classes, sampled.sample)
    if settings().compiled:
        unet.compile()
    pixels, labels = PixelTensor(train.pixels, ctx.device), torch.from_numpy(train.labels)
    draw = BatchRows(train.labels, options.batch, balanced=options.balanced)

    def step(i: int, rng: torch.Generator) -> dict[str, Tensor]:
        rows = draw(rng)
        batch = loss_of.drawn(pixels[rows], labels[rows], rng)
        loss = optimiser.update(lambda: micro.backward(lambda part: loss_of.of(unet, batch, part)), i)
        ema.update(unet)
        grids.at(i + 1)
        return {"loss": loss}

    unet.train()
    train_loop(ctx, options.steps, {"unet": unet, "ema": ema, "optimiser": optimiser.adamw}, step)
    return ema.module.to("cpu")


def dropped_labels(labels: Tensor, null: int, share: float, rng: torch.Generator) -> Tensor:
    """``labels`` int64 [B] with about ``share`` of them replaced by the class ``null`` (Ho & Salimans 2022)."""
    return torch.where(torch.rand(len(labels), generator=rng) < share, null, labels)
