"""Which images show the same thing although their bytes differ.

A 64-bit perceptual hash finds candidates fast (XOR and popcount); then the pictures decide: fine detail correlates, or
all pixels are nearly equal. The hash alone will not do, since lesions are all "a dark blob in the middle". On the
10,015 images of HAM10000 (50 million pairs, 32 px) a hash distance <= 2 joins 53 pairs of one lesion and 10 of two;
distance <= 8 with a detail correlation >= 0.9 joins 90 of one lesion and one of two, which is the same photograph in
two colour balances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.base import Prepared
from bench.pixels import PixelArray, chunks

HASH_NAME = "dct-sign-63"
HASH_DISTANCE = 8
DETAIL_CORRELATION = 0.9
PIXEL_RMS = 5.0  # of 255
SYMMETRIES = range(8)  # bit 0: upside down, bit 1: left-right, bit 2: transposed before
STORED = "duplicates.npz"
_SIDE = 32
_BLUR = 1.5  # SD in pixels of what counts as coarse at _SIDE
Rows = NDArray[np.int64]
Floats = NDArray[np.float32]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Matches:
    """Images that show the same: ``pairs`` int64 [P, 2], detail ``correlation`` and pixel ``rms`` (of 255) [P]."""

    pairs: Rows
    correlation: Floats
    rms: Floats

    def __len__(self) -> int:
        return len(self.pairs)


def perceptual_hash(pixels: PixelArray) -> Hashes:
    """63 signs of low-frequency cosine coefficients of the luma, uint64 [N], for uint8 [N, S, S, 3].

    The DCT hash of Zauner (2010), taken on the whole image instead of a 32 x 32 thumbnail, so that the same picture
    has (nearly) the same hash at any resolution. Bits: coefficient above the median, row-major over 8 x 8 frequencies
    without (0, 0).
    """
    return hash_of(low_frequencies(pixels))


def low_frequencies(pixels: PixelArray, block: int = 256) -> Floats:
    """DCT-II coefficients of the luma at 8 x 8 frequencies, float32 [N, 8, 8]; one block in memory at a time."""
    coefficients = np.empty((len(pixels), 8, 8), dtype=np.float32)
    basis = _cosines(pixels.shape[1]), _cosines(pixels.shape[2])
    for rows in chunks(len(pixels), block):
        coefficients[rows] = basis[0] @ _luma(np.asarray(pixels[rows], dtype=np.float32)) @ basis[1].T
    return coefficients


def hash_of(coefficients: Floats, symmetry: int = 0) -> Hashes:
    """Hash uint64 [N] of :func:`low_frequencies`, of the images as :func:`turn` would turn them."""
    odd = np.where(np.arange(8) % 2, np.float32(-1), np.float32(1))  # mirroring changes the sign of odd frequencies
    turned = coefficients.swapaxes(1, 2) if symmetry & 4 else coefficients
    turned = turned * odd[:, None] if symmetry & 1 else turned
    turned = turned * odd if symmetry & 2 else turned
    flat = turned.reshape(len(turned), 64)[:, 1:]
    bits = flat > np.median(flat, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def turn(images: Floats, symmetry: int) -> Floats:
    """Square images float32 [N, S, S, ...] under one of the eight symmetries of the square; 0 changes nothing."""
    turned = images.swapaxes(1, 2) if symmetry & 4 else images
    return turned[:, :: -1 if symmetry & 1 else 1, :: -1 if symmetry & 2 else 1]


def near_duplicates(pixels: PixelArray, hashes: Hashes) -> Matches:
    """All pairs (i < j) of rows that show the same picture, in one orientation."""
    candidates = hash_pairs(hashes, hashes, HASH_DISTANCE)
    return matches(pixels, pixels, candidates[candidates[:, 0] < candidates[:, 1]])


def stored_duplicates(prepared: Prepared) -> Rows:
    """Near-duplicate pairs of a prepared set, int64 [P, 2]: those found when it was written, or found now."""
    stored = prepared.folder / STORED
    if stored.is_file():
        with np.load(stored, allow_pickle=False) as file:
            pairs: Rows = file["pairs"]
            return pairs
    return near_duplicates(prepared.images.pixels, prepared.table["hash"]).pairs


def store_duplicates(folder: Path, found: Matches) -> None:
    """Keep what :func:`stored_duplicates` reads."""
    np.savez(folder / STORED, allow_pickle=False, **vars(found))


def hash_pairs(a: Hashes, b: Hashes, distance: int) -> Rows:
    """Rows (i of a, j of b) whose hashes differ in at most ``distance`` bits, int64 [P, 2]; all of them, in order."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for rows in chunks(len(a), max(1, 4_000_000 // max(len(b), 1))):
        i, j = np.nonzero(np.bitwise_count(a[rows, None] ^ b[None]) <= distance)
        found.append(np.stack([i + rows.start, j], axis=1))
    return np.concatenate(found)


def matches(
    a: PixelArray,
    b: PixelArray,
    candidates: Rows,
    *,
    correlation: float = DETAIL_CORRELATION,
    rms: float = PIXEL_RMS,
    symmetry: int = 0,
    block: int = 1024,
) -> Matches:
    """Those of ``candidates`` (rows of a and b, int64 [P, 2]) that show the same picture, b seen under ``symmetry``.

    The same: detail correlates at least ``correlation``, or the RGB thumbnails' RMS difference is at most ``rms``.
    Images smaller than the thumbnails have no fine detail of their own: only the RMS counts for them.
    """
    has_detail = min(a.shape[1], b.shape[1]) >= _SIDE
    pairs, scores, distances = [np.empty((0, 2), dtype=np.int64)], [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    for here in chunks(len(candidates), block):
        left, i = np.unique(candidates[here, 0], return_inverse=True)
        right, j = np.unique(candidates[here, 1], return_inverse=True)
        x, y = thumbnails(a, left), turn(thumbnails(b, right), symmetry)
        score = np.einsum("nd,nd->n", detail(x)[i], detail(y)[j])
        distance = np.sqrt(np.mean((x[i] - y[j]) ** 2, axis=(1, 2, 3)))
        same = (distance <= rms) | (has_detail & (score >= correlation))
        for kept, values in ((pairs, candidates[here]), (scores, score), (distances, distance)):
            kept.append(values[same])
    return Matches(np.concatenate(pairs), np.concatenate(scores), np.concatenate(distances))


def detail(small: Floats) -> Floats:
    """Fine structure of :func:`thumbnails` [n, s, s, 3]: high-passed luma, mean 0 and length 1, float32 [n, s * s].

    The dot product of two rows is their correlation, in which brightness, contrast and white balance cancel out.
    A picture without any structure has length 0 and correlates with nothing.
    """
    luma = _luma(small)
    side = luma.shape[1]
    offsets = np.arange(side)[:, None] - np.arange(side)
    blur = np.exp(-0.5 * (offsets / _BLUR) ** 2).astype(np.float32)
    blur /= blur.sum(axis=1, keepdims=True)
    fine = (luma - blur @ luma @ blur.T).reshape(len(luma), -1)
    fine -= fine.mean(axis=1, keepdims=True)
    length = np.linalg.norm(fine, axis=1, keepdims=True)
    unit: Floats = np.where(length > 1e-2, fine / np.maximum(length, 1e-2), 0).astype(np.float32)
    return unit


def thumbnails(pixels: PixelArray, rows: Rows, block: int = 64) -> Floats:
    """Area averages of ``rows`` at 32 x 32 (or the own size where smaller), float32 [n, s, s, 3] in 0..255."""
    size = pixels.shape[1]
    side = min(size, _SIDE)
    small = np.empty((len(rows), side, side, 3), dtype=np.float32)
    shrink = _area(size, side)
    for here in chunks(len(rows), block):
        images = np.asarray(pixels[rows[here]], dtype=np.float32)
        small[here] = images if side == size else _shrunk(images, shrink)
    return small


def join_groups(groups: Sequence[str] | NDArray[np.str_], pairs: Rows) -> NDArray[np.str_]:
    """Groups after union-find over ``pairs`` of rows int64 [P, 2]: a row gets the least name of its joined groups."""
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    root = np.arange(len(names))

    def find(g: int) -> int:
        while root[g] != g:
            root[g] = root[root[g]]
            g = int(root[g])
        return g

    for i, j in pairs:
        a, b = find(int(group_of[i])), find(int(group_of[j]))
        root[max(a, b)] = min(a, b)  # names are sorted, so the least index is the least name
    joined: NDArray[np.str_] = names[np.array([find(g) for g in range(len(names))], dtype=np.int64)][group_of]
    return joined


def _cosines(size: int) -> Floats:
    """DCT-II rows 0..7 for ``size`` samples, float32 [8, size]."""
    place = (np.arange(size) + 0.5) * np.pi / size
    return np.cos(np.arange(8)[:, None] * place).astype(np.float32) / np.float32(size)


def _luma(images: Floats) -> Floats:
    """float32 [n, h, w] from RGB [n, h, w, 3] by the weights of ITU-R BT.601."""
    luma: Floats = images @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return luma


def _shrunk(images: Floats, weights: Floats) -> Floats:
    """Images [n, s, s, 3] times ``weights`` [t, s] along both sides: [n, t, t, 3]."""
    n, size = images.shape[:2]
    rows = (weights @ images.reshape(n, size, -1)).reshape(n, len(weights), size, 3)
    return weights @ rows


def _area(size: int, target: int) -> Floats:
    """Weights float32 [target, size] that average each target pixel's share of the source; rows sum to 1."""
    edges = np.arange(target + 1) * size / target
    start, end = np.maximum(np.arange(size), edges[:-1, None]), np.minimum(np.arange(1, size + 1), edges[1:, None])
    overlap = np.clip(end - start, 0, None)
    weights: Floats = (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights
