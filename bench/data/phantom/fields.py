"""Fast pictures of simple things for a batch: random fields, spots, outlines. Planes are float32 [B, T, T].

Everything that can be written as a product of a function of the row and a function of the column is one small matrix
product an image instead of T² evaluations of a transcendental function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.phantom.streams import Array

Plane = Array  # of float32
ANGLES = 1024


def pixel_centres(size: int) -> Plane:
    """Coordinates of ``size`` pixel centres over [-1, 1], float32 [T]."""
    return ((2 * np.arange(size) + 1) / size - 1).astype(np.float32)


@dataclass(frozen=True)
class Frame:
    """Where an object lies in the image: object coordinates = turn @ (image coordinates - shift) / zoom.

    angle, zoom float64 [B]; shift float64 [B, 2] (x, y). Image coordinates run over [-1, 1], x right and y down.
    """

    angle: Array
    zoom: Array
    shift: Array

    @property
    def matrix(self) -> Array:
        """Linear part, [B, 2, 2]."""
        c, s = np.cos(self.angle) / self.zoom, np.sin(self.angle) / self.zoom
        return np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], -2)

    def to_object(self, size: int) -> tuple[Plane, Plane]:
        """Object coordinates (u, v) of all pixels."""
        x = pixel_centres(size)
        m = self.matrix.astype(np.float32)
        b = -np.einsum("bij,bj->bi", m, self.shift.astype(np.float32))
        row, column = x[None, :, None], x[None, None, :]
        u = m[:, 0, 0, None, None] * column + (m[:, 0, 1, None, None] * row + b[:, 0, None, None])
        v = m[:, 1, 0, None, None] * column + (m[:, 1, 1, None, None] * row + b[:, 1, None, None])
        return u, v

    def to_image(self, points: Array) -> Array:
        """Image coordinates of object points [B, N, 2]."""
        inverse = np.linalg.inv(self.matrix)
        return np.einsum("bij,bnj->bni", inverse, points) + self.shift[:, None, :]  # type: ignore[no-any-return]


def image_frame(n: int) -> Frame:
    """The frame in which object and image coordinates are the same."""
    return Frame(np.zeros(n), np.ones(n), np.zeros((n, 2)))


def waves(frame: Frame, size: int, k: Array, phase: Array) -> Plane:
    """Random field of unit variance: sum of M plane waves cos(k . p + phase) in object coordinates.

    k [B, M, 2] in radians per unit, phase [B, M]. cos(a + b) = cos a cos b - sin a sin b splits each wave into a row
    and a column factor, so the field is one [T, 2M] x [2M, T] product an image.
    """
    in_image = np.einsum("bij,bmi->bmj", frame.matrix, k)
    offset = phase - np.einsum("bmj,bj->bm", in_image, frame.shift)
    x = pixel_centres(size)
    along_y = (in_image[..., 1, None] * x + offset[..., None]).astype(np.float32)
    along_x = (in_image[..., 0, None] * x).astype(np.float32)
    left = np.concatenate([np.cos(along_y), -np.sin(along_y)], axis=1)
    right = np.concatenate([np.cos(along_x), np.sin(along_x)], axis=1)
    return np.matmul(left.transpose(0, 2, 1), right) * np.float32(np.sqrt(2 / k.shape[1]))  # type: ignore[no-any-return]


def wave_vectors(uniform: Array, low: float, high: float) -> tuple[Array, Array]:
    """Wave vectors [B, M, 2] of random direction with wavelengths log-uniform in [low, high], and phases [B, M].

    ``uniform`` [B, M, 3] in [0, 1).
    """
    length = 2 * np.pi / (low * (high / low) ** uniform[..., 0])
    angle = 2 * np.pi * uniform[..., 1]
    return length[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1), 2 * np.pi * uniform[..., 2]


def spots(centres: Array, sigma: Array, weight: Array, size: int) -> Plane:
    """Sum of N round Gaussian spots: centres [B, N, 2] in image coordinates, sigma and weight [B, N]."""
    x = pixel_centres(size)
    scale = (1 / (np.sqrt(2) * sigma))[..., None]
    left = np.exp(-(((x - centres[..., 1, None]) * scale) ** 2).astype(np.float32))
    left *= weight[..., None]
    right = np.exp(-(((x - centres[..., 0, None]) * scale) ** 2).astype(np.float32))
    return np.matmul(left.transpose(0, 2, 1), right)  # type: ignore[no-any-return]


def angle_index(u: Plane, v: Plane) -> NDArray[np.int32]:
    """Bin 0..ANGLES-1 of the polar angle of each pixel, int32 [B, T, T]."""
    turns = np.arctan2(v, u) * np.float32(ANGLES / (2 * np.pi))
    return np.floor(turns).astype(np.int32) & (ANGLES - 1)


def by_angle(table: Array, index: NDArray[np.int32]) -> Plane:
    """``table`` [B, ANGLES] looked up for every pixel."""
    rows = (np.arange(len(table), dtype=np.int32) * ANGLES)[:, None, None]
    return np.take(table.astype(np.float32).ravel(), index + rows)


def harmonics(orders: NDArray[np.int64], amplitude: Array, phase: Array) -> Array:
    """Periodic profile sum of amplitude cos(order theta + phase): [B, ANGLES] from [B, H] each."""
    theta = (np.arange(ANGLES) + 0.5) * (2 * np.pi / ANGLES)
    grid = orders[:, None] * theta
    real = (amplitude * np.cos(phase)) @ np.cos(grid) - (amplitude * np.sin(phase)) @ np.sin(grid)
    return real


def ramp(x: Plane, low: float, high: float) -> Plane:
    """Cubic step from 0 at ``low`` to 1 at ``high`` (falling when low > high), in place of a hard threshold."""
    t = np.clip((x - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)  # type: ignore[no-any-return]


def soft_count(number: Array, n: int) -> Array:
    """Presence in [0, 1] of candidates 0..n-1 when ``number`` [B] of them are to be seen; sums to ``number``."""
    return np.clip(number[:, None] - np.arange(n), 0, 1)  # type: ignore[no-any-return]


def shrink(planes: Plane, factor: int) -> Plane:
    """Mean over factor x factor blocks of [..., T, T]: an antialiased picture at T / factor."""
    if factor == 1:
        return planes
    parts = [planes[..., i::factor, j::factor] for i in range(factor) for j in range(factor)]
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total * np.float32(1 / factor**2)


def column(values: Array) -> Plane:
    """[B] as float32 [B, 1, 1], to meet planes."""
    return np.asarray(values, dtype=np.float32)[:, None, None]
