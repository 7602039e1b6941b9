"""Training of one pair of networks: the phases of a step, lazy regularisation, adaptive augmentation, averaging."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts import Context, Images
from bench.loop import BatchRows, Ema, PixelTensor, autocast, train_loop
from bench.training.grids import SampleGrids
from generators._diffusion.augment import random_symmetry
from generators.stylegan2_ada.augment import AdaptiveP, Augmentation
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
        self.d.requires_grad_(False)
        with autocast(self.ctx):
            fake = self.g.synthesis(self._styles(c, self.options.batch, rng))
            loss = generator_loss(self.d(self._augmented(fake, rng), c))
        self._descend(self.g_adam, loss)
        self.d.requires_grad_(True)
        return loss.detach()

    def _regularise_generator(self, c: Tensor | None, rng: torch.Generator) -> None:
        n = max(1, self.options.batch // PATH_SHRINK)
        with autocast(self.ctx):
            ws = self._styles(None if c is None else c[:n], n, rng)
            images = self.g.synthesis(ws)
        y = torch.randn(images.shape, generator=rng).to(images.device)
        penalty = self.paths.penalty(images, ws, y)
        self._descend(self.g_adam, penalty * self.options.pl_weight * self.options.pl_every)

    def _update_discriminator(self, real: Tensor, c: Tensor | None, rng: torch.Generator) -> Tensor:
        with autocast(self.ctx):
            with torch.no_grad():
                fake = self.g.synthesis(self._styles(c, self.options.batch, rng, track=False))
            fake_logits = self.d(self._augmented(fake, rng), c)
            real_logits = self.d(self._augmented(real, rng), c)
            loss = discriminator_loss(real_logits, fake_logits)
        self._descend(self.d_adam, loss)
        self.ada.observe(real_logits)
        return loss.detach()

    def _regularise_discriminator(self, real: Tensor, c: Tensor | None, rng: torch.Generator) -> None:
        with autocast(self.ctx):
            penalty = r1_penalty(lambda x: self.d(self._augmented(x, rng), c), real)
        self._descend(self.d_adam, penalty * (0.5 * self.gamma * self.options.r1_every))

    def _styles(self, c: Tensor | None, n: int, rng: torch.Generator, *, track: bool = True) -> Tensor:
        """w [n, L, w_dim] of fresh latents, some with a second latent from a random layer on (style mixing)."""
        mapping = self.g.mapping
        z = torch.randn(2, n, mapping.z_dim, generator=rng).to(self.ctx.device)
        ws = mapping(z[0], c)
        if track:
            mapping.track_average(ws[:, 0], W_AVERAGE)
        if self.options.style_mixing > 0:
            layers = torch.arange(self.g.num_ws)
            cut = torch.randint(1, self.g.num_ws, (n, 1), generator=rng)
            mixed = torch.rand(n, 1, generator=rng) < self.options.style_mixing
            second = (mixed & (layers >= cut)).to(self.ctx.device)
            ws = torch.where(second[:, :, None], mapping(z[1], c), ws)
        return ws

    def _reals(self, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        rows = self.draw(rng)
        real = random_symmetry(self.pixels[rows], self.options.symmetry, rng).float() / 127.5 - 1.0
        if self.c_dim == 0:
            return real, None
        return real, F.one_hot(self.labels[rows], self.c_dim).float().to(self.ctx.device)

    def _augmented(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return self.augmentation(x, self.ada.p, rng)

    def _descend(self, optimiser: torch.optim.Adam, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
