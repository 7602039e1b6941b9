"""Controls that disguise their copies: noise, flips and shifts, blur. What hides a copy from a metric shows here."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bench.contracts import Context, Images, Labels, Options
from bench.pixels import UInt8, chunks
from generators.controls.copies import CopyTrain

BLOCK = 512  # images in float32 at once


class NoisyCopyConfig(Options):
    """``sd``: standard deviation of the noise, in grey levels of 0..255."""

    sd: float = Field(2.0, gt=0)


class NoisyCopy(CopyTrain):
    """``copy-noise``: training images with Gaussian noise that nobody sees. No pixel is equal, and all is memorized."""

    Config = NoisyCopyConfig
    config: NoisyCopyConfig

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Noisy copies uint8 [M, H, W, 3]; raises :class:`DataError` as ``copy`` does."""
        images = super().sample(labels, ctx)
        rng = np.random.default_rng([ctx.seed, 1])
        for rows in chunks(len(images), BLOCK):  # one stream in the order of rows: a short call begins a long one
            noise = rng.standard_normal(images[rows].shape, dtype=np.float32)
            images[rows] = np.rint(images[rows] + self.config.sd * noise).clip(0, 255)
        return images


class TurnedCopyConfig(Options):
    """``shift``: greatest shift along each axis as a share of the side; 0 only mirrors and turns."""

    shift: float = Field(0.05, ge=0, lt=0.5)


class TurnedCopy(CopyTrain):
    """``copy-flip``: training images mirrored or turned by a quarter, then shifted by a few pixels (edges repeated).

    Without the eight symmetries of a square (four of a rectangle) a distance takes most of them for new images.
    """

    Config = TurnedCopyConfig
    config: TurnedCopyConfig

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Turned copies uint8 [M, H, W, 3], none as it was; raises :class:`DataError` as ``copy`` does."""
        images = super().sample(labels, ctx)
        height, width = images.shape[1:3]
        symmetries = np.random.default_rng([ctx.seed, 1]).integers(1, 8 if height == width else 4, len(images))
        reach = round(self.config.shift * min(height, width))
        shifts = np.random.default_rng([ctx.seed, 2]).integers(-reach, reach + 1, (len(images), 2))
        for image, symmetry, (down, right) in zip(images, symmetries.tolist(), shifts.tolist(), strict=True):
            image[:] = shifted(turned(image, symmetry), down, right)
        return images


def turned(image: UInt8, symmetry: int) -> UInt8:
    """One of the symmetries of ``image`` [H, W, C]: bits 0 and 1 mirror down and across, bit 2 swaps the axes."""
    image = image[::-1] if symmetry & 1 else image
    image = image[:, ::-1] if symmetry & 2 else image
    return image.swapaxes(0, 1) if symmetry & 4 else image


def shifted(image: UInt8, down: int, right: int) -> UInt8:
    """``image`` [H, W, C] moved by whole pixels; the edge is repeated where nothing comes in."""
    rows = np.clip(np.arange(image.shape[0]) - down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - right, 0, image.shape[1] - 1)
    return image[rows[:, None], columns]


class BlurredCopyConfig(Options):
    """``sigma``: standard deviation of the Gaussian blur in pixels."""

    sigma: float = Field(1.0, gt=0)


class BlurredCopy(CopyTrain):
    """``copy-blur``: training images out of focus. The more blur, the more private they seem and the worse they are."""

    Config = BlurredCopyConfig
    config: BlurredCopyConfig

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Blurred copies uint8 [M, H, W, 3]; raises :class:`DataError` as ``copy`` does."""
        from scipy.ndimage import gaussian_filter

        images = super().sample(labels, ctx)
        spread = (0.0, self.config.sigma, self.config.sigma, 0.0)
        for rows in chunks(len(images), BLOCK):
            images[rows] = np.rint(gaussian_filter(images[rows].astype(np.float32), spread, mode="nearest"))
        return images
