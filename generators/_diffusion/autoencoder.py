"""Training of the autoencoder of image detail, whose latents the diffusion model learns beside coarse colours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.contracts import Context, Images
from bench.loop import BatchRows, Ema, PixelTensor, autocast, placed, seed_all, train_loop
from bench.training.accumulation import MicroBatches, Rows
from generators._diffusion.augment import random_symmetry
from generators._diffusion.codecs import Bands, LatentCodec, to_float, whitening_of
from generators._diffusion.latent_options import LatentOptions
from generators._diffusion.networks import build_autoencoder
from generators._diffusion.sharpening import Adversary, Perceptual
from generators._diffusion.training import Optimiser

ENCODING_BATCH = 256
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Images [B, 3, H, W], their coarse colours, their detail [B, C, h, w], and noise of its latents."""


def build(options: LatentOptions) -> Any:
    """The untrained autoencoder of ``options``."""
    return build_autoencoder(
        3 * options.patch**2,
        options.latent_channels,
        options.ae_channels,
        options.ae_layers,
        options.ae_attention,
    )


def reconstruction_loss(x: Tensor, target: Tensor, edge_weight: float) -> Tensor:
    """Mean |x - target| plus ``edge_weight`` times the same of horizontal and vertical differences.

    The second term asks for sharp borders and texture, which the first alone blurs; it needs no pretrained network.
    """
    error = x - target
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + edge_weight * (across + down)


def kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp logvar) || N(0, 1)) a latent number, averaged (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()


def train_autoencoder(options: LatentOptions, train: Images, bands: Bands, ctx: Context) -> Any:
    """The EMA of an autoencoder trained on ``train``, on the CPU; resumes from ``ctx``."""
    seed_all(ctx.seed)
    bands.pixels.to(ctx.device)
    autoencoder = placed(build(options), ctx.device)
    ema = Ema(autoencoder, options.ae_ema)
    optimiser = Optimiser(
        autoencoder.parameters(),
        lr=options.ae_lr,
        steps=options.ae_steps,
        warmup=min(options.warmup, options.ae_steps // 10),
        decay=0.0,
        clip=options.grad_clip,
    )
    source = PixelTensor(train.pixels, ctx.device)
    draw = BatchRows(train.labels, options.ae_batch, balanced=False)
    perceptual = Perceptual(options.perceptual_net, train.size, ctx.device) if options.perceptual_weight else None
    adversary = Adversary(options, train.size, ctx.device) if options.adversarial_weight else None
    micro = MicroBatches(autoencoder.parameters(), options.ae_batch, tell=getattr(ctx, "note", None))

    def drawn(rng: torch.Generator) -> Batch:
        x = to_float(random_symmetry(source[draw(rng)], options.augment, rng))
        coarse, detail = bands.split(x)
        sides = (side // options.reduction for side in detail.shape[2:])
        # As a sample of the encoder's own output: in its precision, from the global generator.
        dtype = torch.bfloat16 if ctx.precision == "bf16" else None
        noise = torch.randn(len(x), options.latent_channels, *sides, dtype=dtype, device=x.device)
        return x, coarse, detail, noise

    def losses(batch: Batch) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """(reconstructions, loss of them, loss of latents, both and more by name); the losses are means."""
        x, coarse, detail, noise = batch
        with autocast(ctx):
            posterior = autoencoder.encode(detail).latent_dist
            z = posterior.mean + posterior.std * noise
            decoded = autoencoder.decode(z).sample
        size = (x.shape[2], x.shape[3])
        made = bands.join(coarse, decoded.float(), size)
        reconstruction = reconstruction_loss(made, x, options.edge_weight)
        kl = kl_to_standard_normal(posterior.mean.float(), posterior.logvar.float())
        told = {"l1": reconstruction.detach(), "kl": kl.detach()}
        if perceptual is not None:
            distance = perceptual(made, x)
            reconstruction = reconstruction + options.perceptual_weight * distance
            told["lpips"] = distance.detach()
        return made, reconstruction, options.kl_weight * kl, told

    def plainly(batch: Batch, i: int) -> dict[str, Tensor]:
        """One update, in parts where memory asks for it: no image sees another one."""

        def part(rows: Rows) -> dict[str, Tensor]:
            _, reconstruction, kl, told = losses((batch[0][rows], batch[1][rows], batch[2][rows], batch[3][rows]))
            return {"loss": reconstruction + kl, **told}

        return optimiser.update(lambda: micro.told(part), i)

    def against(adversary: Adversary, batch: Batch, i: int) -> dict[str, Tensor]:
        """One update of both; the whole batch at once, over which the discriminator normalises and is balanced."""
        made, reconstruction, kl, told = losses(batch)
        loss = reconstruction + kl + adversary.loss(made, reconstruction, autoencoder.decoder.conv_out.weight, i)
        optimiser.step(loss, i)
        return {"loss": loss.detach(), **told, "discriminator": adversary.step(made, batch[0], i)}

    def step(i: int, rng: torch.Generator) -> dict[str, Tensor]:
        batch = drawn(rng)
        told = plainly(batch, i) if adversary is None else against(adversary, batch, i)
        ema.update(autoencoder)
        return told

    parts = {"autoencoder": autoencoder, "ema": ema, "optimiser": optimiser.adamw}
    if adversary is not None:
        parts["adversary"] = adversary
    autoencoder.train()
    train_loop(ctx, options.ae_steps, parts, step)
    return ema.module.to("cpu")


@torch.no_grad()
def measured_codec(autoencoder: Any, bands: Bands, x: Tensor, ctx: Context) -> LatentCodec:
    """Codec whose codes of images ``x`` [N, 3, H, W] have mean 0 and the identity for covariance."""
    channels = 3 + int(autoencoder.config["latent_channels"])
    plain = LatentCodec(bands, torch.zeros(channels), torch.eye(channels), autoencoder)
    plain.to(ctx.device)
    z = torch.cat([plain.encode(part.to(ctx.device)).cpu() for part in torch.split(x, ENCODING_BATCH)])
    measured = LatentCodec(bands, *whitening_of(z), autoencoder)
    measured.to(ctx.device)
    return measured
