"""A fitted pix2pixHD: the painter, and the maps and styles to paint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.contracts import Context, Images, Labels
from bench.draws import check_labels
from bench.errors import DataError
from bench.loop import autocast
from bench.pixels import UInt8, chunks
from generators.pix2pixhd.bank import Ids, MapBank, StyleBank, spread
from generators.pix2pixhd.maps import ring_radius, semantic_map
from generators.pix2pixhd.options import Pix2PixHDOptions
from generators.pix2pixhd.superpixels import slic
from generators.pix2pixhd.training import Painter, train_painter

Scene = tuple[UInt8, Ids | None, NDArray[np.float32]]
"""Masks [H, W, C], superpixels [H, W] or None, style [D]: what an image is painted from."""


@dataclass
class Pix2PixHDModel:
    """What ``fit`` leaves behind."""

    options: Pix2PixHDOptions
    painter: Painter
    maps: MapBank
    looks: StyleBank
    class_names: tuple[str, ...]

    @property
    def mask_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of a mask."""
        height, width, channels = self.maps.masks.shape[1:]
        return height, width, channels

    @classmethod
    def fitted(cls, options: Pix2PixHDOptions, train: Images, ctx: Context) -> Pix2PixHDModel:
        """Train on the images of ``train`` that have a lesion mask."""
        train = with_lesion(train, options.stride)
        assert train.masks is not None
        ids = superpixels(train, options) if options.instances == "slic" else None
        rows = spread(train.labels, options.maps)
        mapped = train.take(rows)
        masks = (np.asarray(mapped.masks) > 127).astype(np.uint8) * np.uint8(255)
        kept = None if ids is None else ids[rows]
        maps = MapBank(mapped.labels, masks, kept, options.augment, options.deform)

        def draw_with(painter: Painter, labels: Labels, quiet: Context) -> UInt8:
            looks = StyleBank(mapped.labels, image_styles(options, painter, mapped, quiet))
            return cls(options, painter, maps, looks, train.class_names).sample(labels, quiet)

        painter = train_painter(options, train, ids, ctx, draw_with)
        looks = StyleBank(train.labels, image_styles(options, painter, train, ctx))
        return cls(options, painter, maps, looks, train.class_names)

    def sample(self, labels: Labels, ctx: Context) -> UInt8:
        """One image for each of ``labels`` int64 [M] over a map of its class, uint8 [M, H, W, 3].

        Image i follows from ``ctx.seed``, i and its label alone.
        """
        labels = check_labels(labels, self.class_names)

        def scene(i: int) -> Scene:
            rng = np.random.default_rng([ctx.seed, i])
            return *self.maps.draw(int(labels[i]), rng), self.looks.draw(int(labels[i]), rng)

        return self._painted(scene, labels, ctx)

    def drawn_masks(self, labels: Labels, seed: int) -> UInt8:
        """The masks uint8 [M, H, W, C] that :meth:`sample` paints for ``labels`` under ``seed``."""
        found = [self.maps.draw(int(k), np.random.default_rng([seed, i]))[0] for i, k in enumerate(labels)]
        return np.stack(found) if found else np.zeros((0, *self.mask_shape), dtype=np.uint8)

    def paint(self, masks: UInt8, labels: Labels, ctx: Context) -> UInt8:
        """Images uint8 [M, H, W, 3] with the regions of ``masks`` uint8 [M, H, W, C] (inside > 127)."""
        labels = check_labels(labels, self.class_names)
        wanted = (len(labels), *self.mask_shape)
        if masks.shape != wanted or masks.dtype != np.uint8:
            raise DataError(
                f"masks must be uint8 {wanted} as those of the training images, got {masks.dtype} {masks.shape}"
            )

        def scene(i: int) -> Scene:
            rng = np.random.default_rng([ctx.seed, i])
            return masks[i], self.maps.layout(int(labels[i]), rng), self.looks.draw(int(labels[i]), rng)

        return self._painted(scene, labels, ctx)

    @torch.inference_mode()
    def _painted(self, scene: Callable[[int], Scene], labels: Labels, ctx: Context) -> UInt8:
        """Images of ``scene(i)``, in batches of a fixed width: the last scene is repeated."""
        painter = self.painter.to(ctx.device).eval()
        n, width, size = len(labels), self.options.sampling_batch, self.mask_shape[:2]
        out = np.empty((n, *size, 3), dtype=np.uint8)
        for part in chunks(n, width):
            rows = np.minimum(np.arange(part.start, part.start + width), n - 1)
            scenes = [scene(i) for i in range(part.start, part.stop)]
            stacked = _stacked([scenes[min(k, len(scenes) - 1)] for k in range(width)])
            masks, ids, styles = (None if t is None else t.to(ctx.device) for t in stacked)
            assert masks is not None
            assert styles is not None
            with autocast(ctx):
                semantic = semantic_map(masks, ids, ring_radius(size, self.options.ring))
                images = painter(semantic, torch.from_numpy(labels[rows]).to(ctx.device), styles)
            out[part] = _bytes(images).cpu().numpy()[: part.stop - part.start]
            ctx.log(part.stop, n)
        return out

    def state(self) -> dict[str, Any]:
        """Tree of arrays, tensors and numbers."""
        return {
            "painter": self.painter.state_dict(),
            "maps": self.maps.state(),
            "styles": self.looks.styles,
            "labels": self.looks.labels,
            "class_names": list(self.class_names),
        }

    @classmethod
    def from_state(cls, options: Pix2PixHDOptions, state: dict[str, Any]) -> Pix2PixHDModel:
        """The model whose ``state`` this is."""
        maps = MapBank.from_state(state["maps"], options.augment, options.deform)
        names = tuple(state["class_names"])
        painter = Painter(options, maps.masks.shape[-1], len(names))
        painter.load_state_dict(state["painter"])
        painter.eval().requires_grad_(False)
        looks = StyleBank(np.asarray(state["labels"]), np.asarray(state["styles"]))
        return cls(options, painter, maps, looks, names)


def with_lesion(train: Images, stride: int) -> Images:
    """The images of ``train`` whose lesion mask is not empty.

    Raises :class:`DataError` if there are none, and for images too small for the networks.
    """
    if train.masks is None:
        raise DataError(
            "pix2pixhd learns from semantic maps, but the training images have no masks: --data phantom draws its own, "
            "ham10000 and isic2018_task12 read theirs (see that they are there with --set data.options.masks=require)"
        )
    if min(train.size) < 4 * stride:
        raise DataError(
            f"images of {min(train.size)} px are too small for {stride}-fold downsampling: use fewer widths"
        )
    parts = chunks(len(train), 1024)
    there = [(np.asarray(train.masks[part])[..., 0] > 127).any(axis=(1, 2)) for part in parts]
    rows = np.flatnonzero(np.concatenate(there)) if there else np.zeros(0, dtype=np.int64)
    if not len(rows):
        raise DataError("pix2pixhd learns from semantic maps, but all lesion masks of the training images are empty")
    return train if len(rows) == len(train) else train.take(rows)


def superpixels(train: Images, options: Pix2PixHDOptions) -> Ids:
    """SLIC of every image, uint16 [N, H, W]."""
    found = np.empty((len(train), *train.size), dtype=np.uint16)
    for i in range(len(train)):
        found[i] = slic(np.asarray(train.pixels[i]), options.superpixels, options.compactness)
    return found


@torch.inference_mode()
def image_styles(options: Pix2PixHDOptions, painter: Painter, train: Images, ctx: Context) -> NDArray[np.float32]:
    """Styles float32 [N, D] of the training images under the fitted encoder."""
    assert train.masks is not None
    painter.to(ctx.device)
    radius, found = ring_radius(train.size, options.ring), []
    for part in chunks(len(train), options.sampling_batch):
        image = _planes(np.asarray(train.pixels[part])).to(ctx.device) / 127.5 - 1.0
        semantic = semantic_map(_planes(np.asarray(train.masks[part])).to(ctx.device), None, radius)
        found.append(painter.styles(image, semantic).cpu().numpy())
    painter.to("cpu")
    return np.concatenate(found).astype(np.float32)


def _stacked(scenes: list[Scene]) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    masks, ids, styles = zip(*scenes, strict=True)
    layouts = None if ids[0] is None else torch.from_numpy(np.stack(ids).astype(np.int32))[:, None]
    return _planes(np.stack(masks)), layouts, torch.from_numpy(np.stack(styles))


def _planes(nhwc: UInt8) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(nhwc)).permute(0, 3, 1, 2)


def _bytes(images: torch.Tensor) -> torch.Tensor:
    """uint8 [B, H, W, 3] of images [B, 3, H, W] in (-1, 1), rounded once and half to even."""
    return ((images + 1.0) * 127.5).clamp(0.0, 255.0).round().to(torch.uint8).permute(0, 2, 3, 1)
