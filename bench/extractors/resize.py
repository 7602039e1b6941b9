"""How an image reaches the side that a network expects. The policy is part of an extractor's identity.

Parmar et al. (2022, arXiv:2104.11222) show that it moves the Fréchet distance by more than most generators differ.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.pixels import UInt8

Policy = Literal["clean", "tf1"]
Float32 = NDArray[np.float32]


def resize(image: UInt8, side: int, policy: Policy = "clean") -> Float32:
    """float32 [side, side, 3] in 0..255 of uint8 [H, W, 3].

    clean  Pillow's antialiased bicubic on floating-point channels, clipped, not rounded: clean-fid's
    tf1    bilinear without antialiasing and with TensorFlow 1's pixel centres: torch-fidelity's
    Raises :class:`DataError` for anything but a uint8 [H, W, 3] image.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise DataError(f"an image must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    return _tf1(image, side) if policy == "tf1" else _clean(image, side)


def _clean(image: UInt8, side: int) -> Float32:
    from PIL import Image

    out = np.empty((side, side, 3), dtype=np.float32)
    for band in range(3):
        picture = Image.fromarray(image[..., band].astype(np.float32))
        out[..., band] = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
    return np.clip(out, 0, 255, out=out)


def _tf1(image: UInt8, side: int) -> Float32:
    return _interpolated(_interpolated(image.astype(np.float32), side, axis=1), side, axis=0)


def _interpolated(values: Float32, side: int, axis: int) -> Float32:
    """``values`` at i n / side along ``axis`` of length n: TensorFlow 1 aligns the corners of pixels, not centres."""
    n = values.shape[axis]
    position = np.arange(side, dtype=np.float32) * np.float32(n / side)
    low = position.astype(np.int64)
    weight = np.expand_dims(position - low.astype(np.float32), tuple(range(1, values.ndim - axis)))
    left, right = values.take(low, axis), values.take(np.minimum(low + 1, n - 1), axis)
    between: Float32 = left + (right - left) * weight
    return between
