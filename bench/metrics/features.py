"""Features of images that need no network: low-resolution pixels, and their eight flips and rotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import ConfigError, DataError
from bench.metrics.arrays import Float, Float32
from bench.pixels import PixelArray, UInt8

BLOCK = 256  # images in memory at once


def blocks(pixels: PixelArray, size: int = BLOCK) -> Iterator[UInt8]:
    """Consecutive uint8 [b, H, W, 3] of ``pixels``, read from disk block by block."""
    for start in range(0, len(pixels), size):
        yield np.asarray(pixels[start : start + size])


def area_matrix(source: int, target: int) -> Float:
    """Area averaging of a line of ``source`` pixels to ``target``, float64 [target, source]; rows sum to 1."""
    edges = np.linspace(0, source, target + 1)
    pixel = np.arange(source)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.clip(overlap, 0, None) * target / source)


def thumbnails(pixels: PixelArray, side: int = 16) -> Float32:
    """Area-averaged images float32 [N, side, side, 3] in [0, 1]. Images smaller than ``side`` are enlarged by area."""
    if side < 1:
        raise ConfigError(f"the side of a thumbnail must be at least 1 pixel, got {side}")
    height, width = int(pixels.shape[1]), int(pixels.shape[2])
    rows = area_matrix(height, side).astype(np.float32)
    columns = area_matrix(width, side).astype(np.float32)
    out = np.empty((len(pixels), side, side, 3), dtype=np.float32)
    start = 0
    for block in blocks(pixels):
        lines = np.tensordot(block.astype(np.float32), rows, axes=(1, 1))  # [b, W, 3, side]
        out[start : start + len(block)] = np.tensordot(lines, columns, axes=(1, 1)).transpose(0, 2, 3, 1)
        start += len(block)
    out /= 255
    return out


def pixel_features(pixels: PixelArray, side: int = 16) -> Float32:
    """Low-resolution pixels float32 [N, 3 side²] of uint8 [N, H, W, 3], in [0, 1]."""
    return thumbnails(pixels, side).reshape(len(pixels), 3 * side * side)


class Turned:
    """``pixels`` uint8 [N, S, S, 3] mirrored or not, then rotated ``turns`` x 90 degrees, when indexed."""

    def __init__(self, pixels: PixelArray, turns: int, mirror: bool) -> None:
        self.pixels, self.turns, self.mirror = pixels, turns, mirror
        self.shape, self.dtype = tuple(pixels.shape), pixels.dtype
        if self.shape[1] != self.shape[2]:
            raise DataError(f"images of {self.shape[1]} x {self.shape[2]} pixels cannot be turned: crop them square")

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Any) -> UInt8:
        images = np.asarray(self.pixels[index])
        if self.mirror:
            images = np.flip(images, axis=-2)
        return np.ascontiguousarray(np.rot90(images, self.turns, axes=(-3, -2)))


def orientations(pixels: PixelArray) -> list[PixelArray]:
    """The eight flips and rotations (the group D4) of uint8 [N, S, S, 3]; the first is the image as it is."""
    return [Turned(pixels, turns, mirror) for mirror in (False, True) for turns in range(4)]


def symmetric_features(
    pixels: PixelArray, extract: Callable[[PixelArray], NDArray[np.floating[Any]]] = pixel_features
) -> NDArray[np.floating[Any]]:
    """``extract`` [N, D] of all eight orientations, [8, N, D]; [0] is the image as it is.

    The smallest of the eight distances to an image does not depend on how either was turned.
    """
    return np.stack([extract(turned) for turned in orientations(pixels)])
