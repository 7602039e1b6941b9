"""Training of the growing networks by the Wasserstein distance with a gradient penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts import Context, Images, Labels
from bench.loop import BatchRows, Ema, PixelTensor, placed, seed_all, train_loop
from bench.pixels import UInt8
from bench.training.accumulation import MicroBatches, Rows
from bench.training.grids import SampleGrids
from generators._diffusion.augment import random_symmetry
from generators._gan.model import LatentModel
from generators._gan.variety import group_size
from generators._pggan.growth import Growth, Stage
from generators._pggan.networks import Critic, Generator, enlarged, faded

if TYPE_CHECKING:
    from generators.pggan import PGGANOptions

LAST_SHARE = 0.1  # of the learning rates, when training ends


def shown(x: Tensor, side: int, stage: Stage) -> Tensor:
    """Real images [B, 3, side, side] as they are at ``stage``: averaged down, and while it fades in, blurred alike."""
    x = F.avg_pool2d(x, side // stage.side)
    return x if stage.alpha == 1.0 else faded(enlarged(F.avg_pool2d(x, 2)), x, stage.alpha)


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, y: Tensor, stage: Stage, mix: Tensor) -> Tensor:
    """E (|grad D(x)| - 1)^2 at x = ``mix`` real + (1 - mix) fake (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3).

    ``mix``: [B, 1, 1, 1] in 0..1.
    """
    between = torch.lerp(fake, real, mix).requires_grad_(True)
    slope: Tensor = torch.autograd.grad(critic(between, y, stage).sum(), between, create_graph=True)[0]
    excess: Tensor = slope.flatten(1).norm(dim=1) - 1.0
    return excess.square().mean()


def share_of_rate(step: int, growth: Growth, rising: int, falling: int) -> float:
    """Share of the learning rates at ``step``: 1; less over the first ``rising`` steps of each level and the last
    ``falling`` of all, where it goes linearly from 0 and to 0.1.
    """
    left = growth.steps - step
    share = 1.0 if left >= falling else LAST_SHARE + (1.0 - LAST_SHARE) * left / falling
    return share * min(1.0, (growth.within(step) + 1) / max(1, rising))


class Grown(nn.Module):
    """``network`` at a ``stage`` of its growth: (z [B, L], y [B]) -> images of the side of that stage."""

    def __init__(self, network: nn.Module, stage: Stage) -> None:
        super().__init__()
        self.network, self.stage = network, stage

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x: Tensor = self.network(z, y, self.stage)
        return x

    def drawn(self, latent: int, labels: Labels, ctx: Context) -> UInt8:
        """One image for each of ``labels`` int64 [M], of latents that ``ctx.seed`` fixes, whatever the stage."""
        z = np.random.default_rng(ctx.seed).standard_normal((len(labels), latent), dtype=np.float32)
        seen = np.unique(labels).tolist()
        return LatentModel(self, self.stage.side, latent, seen, len(labels)).sample(z, labels, ctx)


def train_pggan(options: PGGANOptions, train: Images, side: int, ctx: Context) -> nn.Module:
    """The averaged generator trained on ``train``, on the CPU; resumes from ``ctx`` in any stage of growth.

    Networks have their full size from the start; what has not grown yet gets no gradient, and Adam leaves it alone.
    """
    seed_all(ctx.seed)
    growth, widths = options.growth(side), options.widths(side)
    generator = placed(Generator(options.latent, widths, train.num_classes), ctx.device)
    critic = placed(Critic(widths, train.num_classes, options.group), ctx.device)
    average = Ema(generator, options.ema)
    rates = options.lr, options.critic_lr
    rising, falling = min(options.rising, options.stable, options.final), min(options.falling, options.final)
    of_generator, of_critic = optimisers = [
        torch.optim.Adam(net.parameters(), lr=lr, betas=(0.0, 0.99), fused=True)
        for net, lr in zip((generator, critic), rates, strict=True)
    ]
    group = group_size(options.batch, options.group)
    made, judged = (
        MicroBatches(net.parameters(), options.batch, tell=getattr(ctx, "note", None), group=group)
        for net in (generator, critic)
    )
    pixels, labels = PixelTensor(train.pixels, ctx.device), torch.from_numpy(train.labels)
    draw = BatchRows(train.labels, options.batch, balanced=options.balanced)
    now, seen = Grown(average.module, growth.at(0)), np.unique(train.labels)
    grids = SampleGrids(ctx, len(seen), lambda rows, quiet: now.drawn(options.latent, seen[rows], quiet))

    def batch(stage: Stage, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(real images, their labels, as many latents)."""
        rows = draw(rng)
        x = random_symmetry(pixels[rows], options.augment, rng).float() / 127.5 - 1.0
        z = torch.randn(options.batch, options.latent, generator=rng).to(ctx.device)
        return shown(x, side, stage), labels[rows].to(ctx.device), z

    def judge(stage: Stage, rng: torch.Generator) -> dict[str, Tensor]:
        """One update of the critic."""
        real, y, z = batch(stage, rng)
        mix = torch.rand(options.batch, 1, 1, 1, generator=rng).to(ctx.device)

        def losses(rows: Rows) -> dict[str, Tensor]:
            x, told = real[rows], y[rows]
            with torch.no_grad():
                fake = generator(z[rows], told, stage)
            on_real, on_fake = critic(x, told, stage), critic(fake, told, stage)
            distance = on_real.mean() - on_fake.mean()
            penalty = gradient_penalty(critic, x, fake, told, stage, mix[rows])
            drift = on_real.square().mean()  # keeps scores near 0, of which the distance says nothing (appendix A.1)
            loss = -distance + options.penalty * penalty + options.drift * drift
            return {"loss": loss, "distance": distance, "penalty": penalty}

        return judged.update(of_critic, losses)

    def scores(z: Tensor, y: Tensor, stage: Stage) -> Tensor:
        """What the critic thinks of the images of latents ``z``."""
        found: Tensor = critic(generator(z, y, stage), y, stage)
        return found

    def step(i: int, rng: torch.Generator) -> dict[str, Tensor]:
        stage, share = growth.at(i), share_of_rate(i, growth, rising, falling)
        for optimiser, rate in zip(optimisers, rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = share * rate
        critic.requires_grad_(True)
        for _ in range(options.critic_steps):
            told = judge(stage, rng)
        critic.requires_grad_(False)
        _, y, z = batch(stage, rng)
        made.update(of_generator, lambda rows: {"loss": -scores(z[rows], y[rows], stage).mean()})
        average.update(generator)
        now.stage = stage
        grids.at(i + 1)
        return told

    parts = {"generator": generator, "critic": critic, "average": average}
    train_loop(ctx, growth.steps, {**parts, "of_generator": of_generator, "of_critic": of_critic}, step)
    return average.module.to("cpu")
