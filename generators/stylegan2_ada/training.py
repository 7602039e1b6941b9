"""Training of one pair of networks: the phases of a step, lazy regularisation, adaptive augmentation, averaging."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts import Context, Images
from bench.loop import BatchRows, Ema, PixelTensor, autocast, train_loop
from bench.training.accumulation import MicroBatches, Rows
from bench.training.grids import SampleGrids
from generators._diffusion.augment import random_symmetry
from generators._gan.variety import group_size
from generators.stylegan2_ada.augment import AdaptiveP, Augmentation, Moves, mean_sign
from generators.stylegan2_ada.loss import PathLength, discriminator_loss, generator_loss, r1_penalty
from generators.stylegan2_ada.networks import Discriminator, Generator
from generators.stylegan2_ada.options import StyleOptions

W_AVERAGE = 0.995  # decay of the average of w that truncation draws towards
PATH_SHRINK = 2  # path lengths are taken on this fraction of a batch


class RampedEma(Ema):
    """Average of weights with a half-life in images; its buffers are copied.

    ``rampup``: bound of the half-life as a share of the images seen so far (Karras et al. 2020, arXiv:2006.06676).
    """

    def __init__(self, module: nn.Module, batch: int, half_life: float, rampup: float | None) -> None:
        super().__init__(module, 0.0)
        self.batch, self.half_life, self.rampup = batch, half_life, rampup

    def weight(self) -> float:
        """Share of the newest parameters in the average after ``updates`` updates."""
        return 1.0 - self.decay_after((self.updates - 1) * self.batch)

    def decay_after(self, seen: int) -> float:
        """Factor of the old average when ``seen`` images were shown before this batch."""
        half_life = self.half_life
        if self.rampup is not None:
            half_life = min(half_life, seen * self.rampup)
        return 0.5 ** (self.batch / max(half_life, 1e-8))  # type: ignore[no-any-return]


def lazy_adam(module: nn.Module, lr: float, every: int, betas: tuple[float, float] = (0.0, 0.99)) -> torch.optim.Adam:
    """Adam with rate and decays to the power c = k / (k + 1) for one more update in k steps; k = ``every``, 0 for none.

    Karras et al. (2020, arXiv:1912.04958), appendix B, "lazy regularization".
    """
    c = every / (every + 1) if every else 1.0
    return torch.optim.Adam(module.parameters(), lr=lr * c, betas=(betas[0] ** c, betas[1] ** c), eps=1e-8, fused=True)


class Latents(NamedTuple):
    """What the styles of n images are made from: z [2, n, z_dim], and which layers take the second (None: none)."""

    z: Tensor
    second: Tensor | None


class Trainer:
    """All that changes in training, and the step that changes it. ``options`` are settled for the images' size."""

    def __init__(
        self, options: StyleOptions, g: Generator, d: Discriminator, train: Images, c_dim: int, ctx: Context
    ) -> None:
        self.options, self.ctx, self.c_dim = options, ctx, c_dim
        self.g, self.d = g.to(ctx.device).train(), d.to(ctx.device).train()
        self.ema = RampedEma(self.g, options.batch, options.ema_kimg * 1000, options.ema_rampup)
        self.g_adam = lazy_adam(self.g, options.lr, options.pl_every)
        self.d_adam = lazy_adam(self.d, options.lr, options.r1_every)
        self.paths = PathLength()
        self.augmentation = Augmentation(options.augment)
        self.ada = AdaptiveP(
            start=options.ada_p,
            target=options.ada_target if options.augment else None,
            kimg=options.ada_kimg,
            batch=options.batch,
            every=options.ada_every,
        )
        self.gamma = options.gamma
        self.grids: SampleGrids | None = None
        self.pixels = PixelTensor(train.pixels, ctx.device)
        self.labels = torch.from_numpy(train.labels)
        self.draw = BatchRows(train.labels, options.batch, balanced=options.balanced and c_dim > 0)
        group = group_size(options.batch, options.mbstd_group)
        self.d.b4.mbstd.group = group  # which parts of a batch keep; a larger one might divide a part of it
        tell = getattr(ctx, "note", None)
        self.path_batch = max(1, options.batch // PATH_SHRINK)
        self.of_g = MicroBatches(self.g.parameters(), options.batch, tell=tell, group=group)
        self.of_paths = MicroBatches(self.g.parameters(), self.path_batch, tell=tell)
        self.of_d = MicroBatches(self.d.parameters(), options.batch, tell=tell, group=group)

    def run(self) -> Generator:
        """Train, from the last checkpoint if there is one; returns the averaged generator."""
        parts = {"g": self.g, "d": self.d, "ema": self.ema, "g_adam": self.g_adam, "d_adam": self.d_adam}
        train_loop(self.ctx, self.options.steps, {**parts, "paths": self.paths, "ada": self.ada}, self.step)
        return self.ema.module  # type: ignore[return-value]

    def step(self, i: int, rng: torch.Generator) -> dict[str, Tensor | float]:
        """One update of each network, and the regularisations that are due at step ``i``."""
        real, c = self._reals(rng)
        scalars: dict[str, Tensor | float] = {"loss": self._update_generator(c, rng)}
        if self.options.pl_every and i % self.options.pl_every == 0:
            self._regularise_generator(c, rng)
            scalars["path_length"] = self.paths.last
        scalars["d_loss"] = self._update_discriminator(real, c, rng)
        if self.options.r1_every and i % self.options.r1_every == 0:
            self._regularise_discriminator(real, c, rng)
        self.ema.update(self.g)
        if self.grids is not None:
            self.grids.at(i + 1)
        return {**scalars, "p": self.ada.p, "r_t": self.ada.overfitting, "kimg": (i + 1) * self.options.batch / 1000}

    def _update_generator(self, c: Tensor | None, rng: torch.Generator) -> Tensor:
        latents, moves = self._latents(self.options.batch, rng), self._moves(rng)

        def losses(rows: Rows) -> dict[str, Tensor]:
            with autocast(self.ctx):
                ws, first = self._styles(latents, c, rows)
                shown = self.augmentation.moved(self.g.synthesis(ws), moves, rows)
                return {"loss": generator_loss(self.d(shown, _of(c, rows))), "w": first.detach().mean(0)}

        self.d.requires_grad_(False)
        told = self.of_g.update(self.g_adam, losses)
        self.d.requires_grad_(True)
        self.g.mapping.track_average(told["w"], W_AVERAGE)
        return told["loss"]

    def _regularise_generator(self, c: Tensor | None, rng: torch.Generator) -> None:
        n = self.path_batch
        latents = self._latents(n, rng)
        y = torch.randn(n, *self.pixels.image_shape, generator=rng).to(self.ctx.device)
        weight = self.options.pl_weight * self.options.pl_every

        def losses(rows: Rows) -> dict[str, Tensor]:
            with autocast(self.ctx):
                ws, first = self._styles(latents, c, rows)
                images = self.g.synthesis(ws)
            penalty, length = self.paths.penalty(images, ws, y[rows])
            return {"loss": penalty * weight, "length": length, "w": first.detach().mean(0)}

        told = self.of_paths.update(self.g_adam, losses)
        self.paths.observe(float(told["length"]))
        self.g.mapping.track_average(told["w"], W_AVERAGE)

    def _update_discriminator(self, real: Tensor, c: Tensor | None, rng: torch.Generator) -> Tensor:
        latents = self._latents(self.options.batch, rng)
        of_fake, of_real = self._moves(rng), self._moves(rng)

        def losses(rows: Rows) -> dict[str, Tensor]:
            with autocast(self.ctx):
                with torch.no_grad():
                    fake = self.g.synthesis(self._styles(latents, c, rows)[0])
                fake_logits = self.d(self.augmentation.moved(fake, of_fake, rows), _of(c, rows))
                real_logits = self.d(self.augmentation.moved(real[rows], of_real, rows), _of(c, rows))
                loss = discriminator_loss(real_logits, fake_logits)
            return {"loss": loss, "sign": mean_sign(real_logits)}

        told = self.of_d.update(self.d_adam, losses)
        self.ada.observe(told["sign"])
        return told["loss"]

    def _regularise_discriminator(self, real: Tensor, c: Tensor | None, rng: torch.Generator) -> None:
        moves, weight = self._moves(rng), 0.5 * self.gamma * self.options.r1_every

        def losses(rows: Rows) -> dict[str, Tensor]:
            def logits(x: Tensor) -> Tensor:
                found: Tensor = self.d(self.augmentation.moved(x, moves, rows), _of(c, rows))
                return found

            with autocast(self.ctx):
                return {"loss": r1_penalty(logits, real[rows]) * weight}

        self.of_d.update(self.d_adam, losses)

    def _latents(self, n: int, rng: torch.Generator) -> Latents:
        """Fresh ones for ``n`` images; some have a second latent from a random layer on (style mixing)."""
        z = torch.randn(2, n, self.g.mapping.z_dim, generator=rng).to(self.ctx.device)
        if self.options.style_mixing <= 0:
            return Latents(z, None)
        layers = torch.arange(self.g.num_ws)
        cut = torch.randint(1, self.g.num_ws, (n, 1), generator=rng)
        mixed = torch.rand(n, 1, generator=rng) < self.options.style_mixing
        return Latents(z, (mixed & (layers >= cut)).to(self.ctx.device))

    def _styles(self, latents: Latents, c: Tensor | None, rows: Rows) -> tuple[Tensor, Tensor]:
        """w [n, L, w_dim] of some rows of ``latents``, and w [n, w_dim] of their first z, which is averaged."""
        mapping, told = self.g.mapping, _of(c, rows)
        ws = mapping(latents.z[0][rows], told)
        first = ws[:, 0]
        if latents.second is not None:
            ws = torch.where(latents.second[rows][:, :, None], mapping(latents.z[1][rows], told), ws)
        return ws, first

    def _reals(self, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        rows = self.draw(rng)
        real = random_symmetry(self.pixels[rows], self.options.symmetry, rng).float() / 127.5 - 1.0
        if self.c_dim == 0:
            return real, None
        return real, F.one_hot(self.labels[rows], self.c_dim).float().to(self.ctx.device)

    def _moves(self, rng: torch.Generator) -> Moves:
        """Augmentations of a batch at the present p."""
        return self.augmentation.drawn(self.options.batch, self.pixels.image_shape[-1], self.ada.p, rng)


def _of(c: Tensor | None, rows: Rows) -> Tensor | None:
    return None if c is None else c[rows]
