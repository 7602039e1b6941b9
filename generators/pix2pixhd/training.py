"""Training of the generator against its discriminators."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts import Context, Images, Labels
from bench.loop import BatchRows, Ema, PixelTensor, autocast, placed, seed_all, train_loop
from bench.pixels import UInt8
from bench.training.accumulation import MicroBatches, Rows
from bench.training.grids import SampleGrids
from generators._diffusion.augment import random_symmetry
from generators.pix2pixhd import losses
from generators.pix2pixhd.bank import Ids
from generators.pix2pixhd.maps import map_channels, placed_styles, regions, ring_radius, semantic_map
from generators.pix2pixhd.networks import StyleEncoder, build_discriminator, build_generator
from generators.pix2pixhd.options import Pix2PixHDOptions, learning_rate_factor

Draw = Callable[["Painter", Labels, Context], UInt8]


class Painter(nn.Module):
    """Generator and style encoder together: what is trained, averaged, stored and sampled from."""

    def __init__(self, options: Pix2PixHDOptions, mask_channels: int, num_classes: int) -> None:
        super().__init__()
        self.stride, self.told = options.stride, num_classes * options.label
        self.channels = map_channels(mask_channels, options.instances == "slic")
        self.num_classes = num_classes
        self.generator = build_generator(options, self.channels, num_classes)
        self.encoder = StyleEncoder(options.styles) if options.styles else None

    def styles(self, image: Tensor, semantic: Tensor) -> Tensor:
        """Styles [B, D] of each region of ``image`` [B, 3, H, W] in [-1, 1]; D is 0 without an encoder."""
        if self.encoder is None:
            return image.new_zeros(len(image), 0)
        height, width = image.shape[2:]
        padding = (0, width % 2, 0, height % 2)
        found: Tensor = self.encoder(F.pad(image, padding, mode="replicate"), F.pad(regions(semantic), padding))
        return found

    def forward(self, semantic: Tensor, labels: Tensor, styles: Tensor) -> Tensor:
        """Images [B, 3, H, W] in (-1, 1) of maps [B, C, H, W], classes int64 [B] and styles [B, D]."""
        return self.call(self.generator, semantic, labels, styles)

    def one_hot(self, labels: Tensor) -> Tensor:
        """Classes int64 [B] as the networks are told them: float32 [B, K], or [B, 0]."""
        return F.one_hot(labels, self.num_classes).float()[:, : self.told]

    def call(self, generator: Any, semantic: Tensor, labels: Tensor, styles: Tensor) -> Tensor:
        """As :meth:`forward` with another network; sides are padded to what it can halve, and cropped again."""
        height, width = semantic.shape[2:]
        placed = placed_styles(styles, regions(semantic)) if styles.shape[1] else semantic[:, :0]
        x = torch.cat([semantic, placed], dim=1)
        x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        c = torch.cat([styles, self.one_hot(labels)], dim=1)
        image: Tensor = generator(x, c)
        return image[:, :, :height, :width].float()


class Scene(NamedTuple):
    """A batch: images [B, 3, H, W] in [-1, 1], maps, classes; and image and map at the resolution of ``step``."""

    step: int
    real: Tensor
    semantic: Tensor
    labels: Tensor
    image: Tensor
    map: Tensor


class Trainer:
    """One step of the discriminators, then one of the generator and the encoder (eq. 5)."""

    def __init__(self, options: Pix2PixHDOptions, painter: Painter, ctx: Context) -> None:
        self.options, self.painter, self.ctx = options, placed(painter, ctx.device), ctx
        self.critic = placed(build_discriminator(options, painter.channels, painter.num_classes), ctx.device)
        fused = {"lr": options.lr, "betas": (0.5, 0.999), "fused": True}
        self.painter_adam = torch.optim.Adam(painter.parameters(), **fused)  # type: ignore[arg-type]
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), **fused)  # type: ignore[arg-type]
        self.ema = Ema(painter, options.ema)
        tell = getattr(ctx, "note", None)
        self.of_painter = MicroBatches(painter.parameters(), options.batch, tell=tell)
        self.of_critic = MicroBatches(self.critic.parameters(), options.batch, tell=tell)
        self.perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
        if options.perceptual:
            self.perceptual = losses.perceptual_loss(ctx.device)

    def parts(self) -> dict[str, Any]:
        """Everything that changes."""
        return {
            "painter": self.painter,
            "critic": self.critic,
            "painter_adam": self.painter_adam,
            "critic_adam": self.critic_adam,
            "ema": self.ema,
        }

    def step(self, i: int, real: Tensor, semantic: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Update all on images [B, 3, H, W] in [-1, 1] with their maps and classes; returns the losses."""
        factor = learning_rate_factor(i, self.options.steps, self.options.decay_from)
        for group in (*self.painter_adam.param_groups, *self.critic_adam.param_groups):
            group["lr"] = self.options.lr * factor
        scene = Scene(i, real, semantic, labels, self._shown(i, real), self._shown(i, semantic))
        made: list[Tensor] = []  # a batch that is whole is painted once, for both
        told = self.of_critic.update(self.critic_adam, lambda rows: self._judge(scene, rows, made))
        self.critic.requires_grad_(False)
        told |= self.of_painter.update(self.painter_adam, lambda rows: self._please(scene, rows, made))
        self.critic.requires_grad_(True)
        self.ema.update(self.painter)
        return told

    def _shown(self, i: int, x: Tensor) -> Tensor:
        """``x`` [B, C, H, W], at half resolution while the global generator learns alone (section 3.1)."""
        return F.avg_pool2d(x, 2) if self._half(i) else x

    def _half(self, i: int) -> bool:
        return self.options.enhancer and i < self.options.global_share * self.options.steps

    def _paint(self, scene: Scene, rows: Rows) -> Tensor:
        styles = self.painter.styles(scene.real[rows], scene.semantic[rows])
        painted = scene.map[rows], scene.labels[rows], styles
        if self._half(scene.step):
            return self.painter.call(self.painter.generator.inner, *painted)
        image: Tensor = self.painter(*painted)
        return image

    def _given(self, scene: Scene, rows: Rows) -> Tensor:
        """What the discriminators are told: the map, and the class as constant planes."""
        semantic = scene.map[rows]
        constant = self.painter.one_hot(scene.labels[rows])[:, :, None, None]
        return torch.cat([semantic, constant.expand(-1, -1, *semantic.shape[2:])], dim=1)

    def _judge(self, scene: Scene, rows: Rows, made: list[Tensor]) -> dict[str, Tensor]:
        """Loss of the discriminators. Leaves the images in ``made`` where they are the whole batch."""
        made.clear()
        with autocast(self.ctx):
            with torch.set_grad_enabled(self.of_critic.whole and self.of_painter.whole):
                fake = self._paint(scene, rows)
            given = self._given(scene, rows)
            pairs = [torch.cat([given, scene.image[rows]], dim=1), torch.cat([given, fake.detach()], dim=1)]
            both = self.critic(torch.cat(pairs))
        halves = [[layer.float().chunk(2) for layer in scale] for scale in both]
        of_real, of_fake = ([[layer[k] for layer in scale] for scale in halves] for k in (0, 1))
        loss = losses.discriminator_loss(of_real, of_fake)
        if fake.requires_grad:
            made.append(fake)
        return {"loss": loss, "critic": loss}

    def _please(self, scene: Scene, rows: Rows, made: list[Tensor]) -> dict[str, Tensor]:
        """Loss of generator and encoder, with the images in ``made`` if there are any."""
        real, given = scene.image[rows], self._given(scene, rows)
        with autocast(self.ctx):
            fake = made.pop() if made else self._paint(scene, rows)
            with torch.no_grad():
                of_real = self.critic(torch.cat([given, real], dim=1))
            of_fake = self.critic(torch.cat([given, fake], dim=1))
        adversarial = losses.adversarial_loss(of_fake)
        matching = losses.feature_matching_loss(of_real, of_fake)
        loss = adversarial + self.options.feature_matching * matching
        if self.perceptual is not None:
            loss = loss + self.options.perceptual * self.perceptual(fake, real)
        return {"loss": loss, "adversarial": adversarial, "matching": matching}


def train_painter(
    options: Pix2PixHDOptions, train: Images, ids: Ids | None, ctx: Context, draw_with: Draw | None = None
) -> Painter:
    """The averaged painter trained on ``train`` (all with masks) and its superpixels, on the CPU; resumes.

    ``draw_with(painter, labels, ctx)``: images uint8 [M, H, W, 3] for grids of samples.
    """
    assert train.masks is not None
    seed_all(ctx.seed)
    trainer = Trainer(options, Painter(options, int(train.masks.shape[-1]), train.num_classes), ctx)
    pixels, masks = PixelTensor(train.pixels, ctx.device), PixelTensor(train.masks, ctx.device)
    layouts = None if ids is None else torch.from_numpy(ids.astype("int32"))
    labels = torch.from_numpy(train.labels)
    draw = BatchRows(train.labels, options.batch, balanced=options.balanced)
    radius = ring_radius(train.size, options.ring)
    sampled: Any = trainer.ema.module if options.ema else trainer.painter
    seen = np.unique(train.labels)
    grids = SampleGrids(ctx, len(seen), partial(_drawn, draw_with, sampled, seen)) if draw_with else None

    def step(i: int, rng: torch.Generator) -> dict[str, Tensor]:
        rows = draw(rng)
        planes = [pixels[rows].int(), masks[rows].int()]
        if layouts is not None:
            planes.append(layouts[rows][:, None].to(ctx.device))
        turned = random_symmetry(torch.cat(planes, dim=1), options.augment, rng)
        last = turned.shape[1] - (layouts is not None)
        semantic = semantic_map(turned[:, 3:last], turned[:, last:] if layouts is not None else None, radius)
        told = trainer.step(i, turned[:, :3] / 127.5 - 1.0, semantic, labels[rows].to(ctx.device))
        if grids is not None:
            grids.at(i + 1)
        return told

    trainer.painter.train()
    train_loop(ctx, options.steps, trainer.parts(), step)
    return sampled.eval().requires_grad_(False).to("cpu")  # type: ignore[no-any-return]


def _drawn(draw_with: Draw, painter: Painter, seen: Labels, rows: Labels, ctx: Context) -> UInt8:
    """Images of the classes ``seen[rows]``, drawn with a copy: drawing may move the painter and end its training."""
    return draw_with(copy.deepcopy(painter).eval(), seen[rows], ctx)
