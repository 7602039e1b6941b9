"""Adversarial training of one generator, or of one for every class side by side."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts import Context, Images, Labels
from bench.loop import BatchRows, Ema, PixelTensor, autocast, placed, seed_all, train_loop
from bench.pixels import UInt8
from bench.training.grids import SampleGrids
from generators._dcgan.networks import Discriminator, Generator, PerClass
from generators._diffusion.augment import random_symmetry
from generators._gan.model import LatentModel

if TYPE_CHECKING:
    from generators.dcgan import DCGANOptions

SETTLING = 64  # batches over which the statistics of batch norm are taken when training is over


class Pair:
    """A generator, its discriminator, their optimisers, and the average of the generator."""

    def __init__(self, options: DCGANOptions, side: int, classes: int, device: str) -> None:
        widths = options.widths(side)
        self.options, self.device = options, device
        self.generator = placed(Generator(options.latent, widths, options.kernel, classes), device)
        self.discriminator = placed(Discriminator(widths, options.kernel, classes), device)
        self.average = Ema(self.generator, options.ema) if options.ema else None
        adam: dict[str, Any] = {"lr": options.lr, "betas": (options.beta1, 0.999), "fused": True}
        self.of_generator = torch.optim.Adam(self.generator.parameters(), **adam)
        self.of_discriminator = torch.optim.Adam(self.discriminator.parameters(), **adam)

    def step(self, x: Tensor, y: Tensor, z: Tensor, ctx: Context) -> dict[str, Tensor]:
        """One update of each on real images ``x`` [B, 3, S, S], labels ``y`` and latents ``z`` [B, L].

        Both losses are those of Goodfellow et al. (2014, arXiv:1406.2661), the generator's not saturating:
        L_D = -log D(x) - log(1 - D(G(z))), L_G = -log D(G(z)).
        """
        discriminator = self.discriminator.requires_grad_(True)
        with autocast(ctx):
            fake = self.generator(z, y)
            on_real, on_fake = discriminator(x, y).float(), discriminator(fake.detach(), y).float()
        of_d = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        _update(self.of_discriminator, of_d)
        discriminator.requires_grad_(False)
        with autocast(ctx):
            of_g = F.softplus(-discriminator(fake, y).float()).mean()
        _update(self.of_generator, of_g)
        if self.average is not None:
            self.average.update(self.generator)
        right = ((on_real > 0).float().mean() + (on_fake < 0).float().mean()) / 2
        return {"loss": of_d.detach(), "generator": of_g.detach(), "right": right.detach()}

    def kept(self) -> nn.Module:
        """The generator that is drawn from: the averaged one where there is one."""
        return self.generator if self.average is None else self.average.module

    def settled(self, generator: nn.Module, y: Tensor, rng: torch.Generator) -> nn.Module:
        """``generator`` with batch norm statistics taken anew over latents; ``y`` int64 [n]: labels to draw.

        Averaged weights never saw the statistics that training kept, which are of other weights (Izmailov et al.
        2018, arXiv:1803.05407, section 3.2). Afterwards an image does not depend on its batch.
        """
        norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over all batches
        generator.train()
        with torch.no_grad():
            for _ in range(SETTLING):
                labels = y[torch.randint(len(y), (self.options.batch,), generator=rng)]
                z = torch.randn(self.options.batch, self.options.latent, generator=rng)
                generator(z.to(self.device), labels.to(self.device))
        return generator.eval().to("cpu")

    def parts(self) -> dict[str, Any]:
        """Everything that changes."""
        found = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "of_generator": self.of_generator,
            "of_discriminator": self.of_discriminator,
        }
        return found if self.average is None else {**found, "average": self.average}


def train_dcgan(options: DCGANOptions, train: Images, side: int, ctx: Context) -> nn.Module:
    """The network (z, y) -> images trained on ``train``, on the CPU, ready to draw; resumes from ``ctx``."""
    seed_all(ctx.seed)
    seen = np.unique(train.labels).tolist()
    apart = options.classes == "separate"
    members = [np.flatnonzero(train.labels == k) for k in seen] if apart else [np.arange(len(train))]
    pairs = [Pair(options, side, 0 if apart else train.num_classes, ctx.device) for _ in members]
    draws = [BatchRows(train.labels[rows], options.batch, balanced=options.balanced) for rows in members]
    pixels, labels = PixelTensor(train.pixels, ctx.device), torch.from_numpy(train.labels)
    own = [torch.from_numpy(rows) for rows in members]

    def step(i: int, rng: torch.Generator) -> Mapping[str, Tensor]:
        told: list[dict[str, Tensor]] = []
        for pair, draw, of_class in zip(pairs, draws, own, strict=True):
            rows = of_class[draw(rng)]
            x = random_symmetry(pixels[rows], options.augment, rng).float() / 127.5 - 1.0
            z = torch.randn(options.batch, options.latent, generator=rng).to(ctx.device)
            told.append(pair.step(x, labels[rows].to(ctx.device), z, ctx))
        grids.at(i + 1)
        return {name: torch.stack([t[name] for t in told]).mean() for name in told[0]}

    asked = torch.tensor(seen) if options.balanced else labels

    def settled(generators: Iterable[nn.Module]) -> nn.Module:
        """``generators``, one a pair, as the network that is drawn from; they change."""
        rng = torch.Generator().manual_seed(ctx.seed)
        found = [
            pair.settled(generator, labels[rows] if apart else asked, rng)
            for pair, generator, rows in zip(pairs, generators, own, strict=True)
        ]
        return PerClass(found, seen) if apart else found[0]

    def drawn(rows: Labels, quiet: Context) -> UInt8:
        z = np.random.default_rng(quiet.seed).standard_normal((len(rows), options.latent), dtype=np.float32)
        network = settled(copy.deepcopy(pair.kept()) for pair in pairs)
        return LatentModel(network, side, options.latent, seen, len(rows)).sample(z, np.asarray(seen)[rows], quiet)

    grids = SampleGrids(ctx, len(seen), drawn)
    parts = {f"{name}{k}": part for k, pair in enumerate(pairs) for name, part in pair.parts().items()}
    train_loop(ctx, options.steps, parts, step)
    return settled(pair.kept() for pair in pairs)


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
