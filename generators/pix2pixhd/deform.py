"""Random deformation of masks: new maps from those of training images."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.pixels import UInt8
from generators._diffusion.options import Augment

T = TypeVar("T", bound=np.generic)
Floats = NDArray[np.float64]
DEGREES, STRETCH, SHIFT = 20.0, 0.15, 0.08  # largest turn, change of size along an axis, move as a share of the side
ELASTIC, SMOOTHNESS = 0.03, 0.12  # rms displacement and SD of its Gaussian blur, as shares of the side


def turned(stack: NDArray[T], kind: Augment, rng: np.random.Generator) -> NDArray[T]:
    """``stack`` [H, W, C] under a random flip or, where "dihedral" and H = W, also a quarter turn."""
    across, down, over = rng.random(3) < 0.5
    if kind == "none":
        return stack
    stack = stack[:, ::-1] if across else stack
    stack = stack[::-1] if down else stack
    return stack.swapaxes(0, 1) if over and kind == "dihedral" and stack.shape[0] == stack.shape[1] else stack


def random_field(size: tuple[int, int], strength: float, rng: np.random.Generator) -> Floats:
    """Where each pixel comes from, float64 [2, H, W] in pixels: an affine map about the centre plus an elastic field.

    The elastic part is white noise under a Gaussian blur (Simard et al. 2003, doi:10.1109/ICDAR.2003.1227801).
    ``strength`` scales all of it; 0 is the identity.
    """
    from scipy.ndimage import gaussian_filter

    side = min(size)
    angle = np.deg2rad(DEGREES) * strength * rng.uniform(-1, 1)
    stretch = np.exp(STRETCH * strength * rng.uniform(-1, 1, 2))
    shift = SHIFT * strength * side * rng.uniform(-1, 1, 2)
    noise = rng.standard_normal((2, *size))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = (np.array(size)[:, None, None] - 1) / 2
    grid = np.indices(size) - centre
    moved = np.tensordot(turn * stretch, grid, axes=1) + centre + shift[:, None, None]
    smooth = np.stack([gaussian_filter(plane, SMOOTHNESS * side, mode="reflect") for plane in noise])
    rms = np.sqrt((smooth**2).mean()) or 1.0
    return np.asarray(moved + ELASTIC * strength * side * smooth / rms)


def moved_masks(masks: UInt8, field: Floats) -> UInt8:
    """``masks`` [H, W, C] of 0 and 255 read at ``field``; what lies outside is as the edge."""
    from scipy.ndimage import map_coordinates

    layers = np.moveaxis(masks, -1, 0).astype(np.float32)
    planes = [map_coordinates(layer, field, order=1, mode="nearest") > 127 for layer in layers]
    return np.stack(planes, axis=-1).astype(np.uint8) * np.uint8(255)


def moved_ids(ids: NDArray[np.uint16], field: Floats) -> NDArray[np.uint16]:
    """Superpixels [H, W] read at ``field``, mirrored at the edge."""
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(ids, field, order=0, mode="mirror"), dtype=np.uint16)
