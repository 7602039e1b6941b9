"""Which images show the same thing although their bytes differ.

A 64-bit perceptual hash finds candidates fast (XOR and popcount), then the correlation of fine detail decides.
The hash alone will not do: lesions are all "a dark blob in the middle". On the 10,015 images of HAM10000 (50 million
pairs, 32 px) a hash distance <= 2 joins 53 pairs of one lesion and 10 of two; distance <= 8 with a detail correlation
>= 0.9 joins 90 of one lesion and one of two, which is the same photograph in two colour balances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.pixels import PixelArray, chunks

HASH_NAME = "dct-sign-64"
HASH_DISTANCE = 8
DETAIL_CORRELATION = 0.9
DETAIL_SIDE = 32
_BLUR = 1.5  # SD in pixels of what counts as coarse at DETAIL_SIDE
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


def perceptual_hash(pixels: PixelArray, block: int = 512) -> NDArray[np.uint64]:
    """64 signs of low-frequency cosine coefficients of the luma, uint64 [N], for uint8 [N, S, S, 3].

    The DCT hash of Zauner (2010), taken on the whole image instead of a 32 x 32 thumbnail, so that the same picture
    has (nearly) the same hash at any resolution. Bit order: row-major over a 9 x 9 block of frequencies without (0,0).
    """
    hashes = np.empty(len(pixels), dtype=np.uint64)
    basis = _cosines(pixels.shape[1]), _cosines(pixels.shape[2])
    for rows in chunks(len(pixels), block):
        luma = np.asarray(pixels[rows], dtype=np.float32) @ _LUMA
        coefficients = (basis[0] @ luma @ basis[1].T).reshape(len(luma), -1)[:, 1:65]
        bits = coefficients > np.median(coefficients, axis=1, keepdims=True)
        hashes[rows] = np.packbits(bits, axis=1).view(">u8").ravel()
    return hashes


def near_duplicates(pixels: PixelArray, hashes: NDArray[np.uint64]) -> tuple[Rows, Floats]:
    """All pairs (i < j) of images that show the same: int64 [P, 2] and their detail correlation float32 [P]."""
    pairs = hash_pairs(hashes, hashes, HASH_DISTANCE)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    return _confirm(pixels, pixels, pairs)


def near_duplicates_between(
    a: PixelArray, a_hashes: NDArray[np.uint64], b: PixelArray, b_hashes: NDArray[np.uint64]
) -> tuple[Rows, Floats]:
    """Pairs (row of a, row of b) that show the same, int64 [P, 2], and their detail correlation float32 [P]."""
    return _confirm(a, b, hash_pairs(a_hashes, b_hashes, HASH_DISTANCE))


def hash_pairs(a: NDArray[np.uint64], b: NDArray[np.uint64], distance: int) -> Rows:
    """Rows (i of a, j of b) whose hashes differ in at most ``distance`` bits, int64 [P, 2]; all of them, in order."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for rows in chunks(len(a), max(1, 4_000_000 // max(len(b), 1))):
        i, j = np.nonzero(np.bitwise_count(a[rows, None] ^ b[None]) <= distance)
        found.append(np.stack([i + rows.start, j], axis=1))
    return np.concatenate(found)


def detail(pixels: PixelArray) -> Floats:
    """Fine structure of images: high-passed luma at 32 x 32 or less, mean 0 and length 1, float32 [n, D].

    The dot product of two rows is their correlation, in which brightness, contrast and white balance cancel out.
    A picture without any structure has length 0 and correlates with nothing.
    """
    luma = thumbnail(pixels) @ _LUMA
    side = luma.shape[1]
    offsets = np.arange(side)[:, None] - np.arange(side)
    blur = np.exp(-0.5 * (offsets / _BLUR) ** 2).astype(np.float32)
    blur /= blur.sum(axis=1, keepdims=True)
    fine = (luma - blur @ luma @ blur.T).reshape(len(luma), -1)
    fine -= fine.mean(axis=1, keepdims=True)
    length = np.linalg.norm(fine, axis=1, keepdims=True)
    unit: Floats = np.where(length > 1e-2, fine / np.maximum(length, 1e-2), 0).astype(np.float32)
    return unit


def thumbnail(pixels: PixelArray) -> Floats:
    """Area averages at 32 x 32 (or the own size where smaller), float32 [n, s, s, 3] in 0..255."""
    size = pixels.shape[1]
    images = np.asarray(pixels, dtype=np.float32)
    if size <= DETAIL_SIDE:
        return images
    shrink = _area(size, DETAIL_SIDE)
    small: Floats = np.einsum("ai,nijc,bj->nabc", shrink, images, shrink, optimize=True)
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


def _confirm(a: PixelArray, b: PixelArray, candidates: Rows) -> tuple[Rows, Floats]:
    kept, scores = [np.empty((0, 2), dtype=np.int64)], [np.empty(0, dtype=np.float32)]
    for pairs in _by_neighbourhood(candidates):
        rows, i = np.unique(pairs[:, 0], return_inverse=True)
        columns, j = np.unique(pairs[:, 1], return_inverse=True)
        correlation = np.einsum("nd,nd->n", detail(a[rows])[i], detail(b[columns])[j])
        good = correlation >= DETAIL_CORRELATION
        kept.append(pairs[good])
        scores.append(correlation[good])
    return np.concatenate(kept), np.concatenate(scores)


def _by_neighbourhood(pairs: Rows, block: int = 4096) -> Iterator[Rows]:
    """Blocks of candidate pairs small enough to hold both sides' details in memory."""
    for rows in chunks(len(pairs), block):
        yield pairs[rows]


def _cosines(size: int) -> Floats:
    """DCT-II rows 0..8 for ``size`` samples, float32 [9, size]."""
    place = (np.arange(size) + 0.5) * np.pi / size
    return np.cos(np.arange(9)[:, None] * place).astype(np.float32) / np.float32(size)


def _area(size: int, target: int) -> Floats:
    """Weights float32 [target, size] that average each target pixel's share of the source; rows sum to 1."""
    edges = np.arange(target + 1) * size / target
    start, end = np.maximum(np.arange(size), edges[:-1, None]), np.minimum(np.arange(1, size + 1), edges[1:, None])
    overlap = np.clip(end - start, 0, None)
    weights: Floats = (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights
