"""Perceptual hashes of prepared images: which pictures show the same thing although their bytes differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.pixels import PixelArray, chunks

HASH_NAME = "dct-sign-64"
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


def perceptual_hash(pixels: PixelArray, block: int = 512) -> NDArray[np.uint64]:
    """64 signs of low-frequency cosine coefficients of the luma, uint64 [N], for uint8 [N, S, S, 3].

    The DCT hash of Zauner (2010), taken on the whole image instead of a 32 x 32 thumbnail, so that the same picture
    has (nearly) the same hash at any resolution. Bit order: row-major over an 8 x 8 block of frequencies.
    """
    hashes = np.empty(len(pixels), dtype=np.uint64)
    basis = _cosines(pixels.shape[1]), _cosines(pixels.shape[2])
    for rows in chunks(len(pixels), block):
        luma = np.asarray(pixels[rows], dtype=np.float32) @ _LUMA
        coefficients = (basis[0] @ luma @ basis[1].T).reshape(len(luma), -1)[:, 1:65]
        bits = coefficients > np.median(coefficients, axis=1, keepdims=True)
        hashes[rows] = np.packbits(bits, axis=1).view(">u8").ravel()
    return hashes


def _cosines(size: int) -> NDArray[np.float32]:
    """DCT-II rows 0..8 for ``size`` samples, float32 [9, size]."""
    place = (np.arange(size) + 0.5) * np.pi / size
    return np.cos(np.arange(9)[:, None] * place).astype(np.float32) / np.float32(size)
