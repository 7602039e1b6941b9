"""Superpixels by SLIC (Achanta et al. 2012, doi:10.1109/TPAMI.2012.120), in numpy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.pixels import UInt8

Ids = NDArray[np.uint16]
Floats = NDArray[np.float32]
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # sRGB, IEC 61966-2-1
WHITE = np.array([0.9505, 1.0, 1.089])  # D65


def slic(image: UInt8, number: int, compactness: float = 10.0, rounds: int = 5) -> Ids:
    """Superpixel of each pixel of ``image`` uint8 [H, W, 3]: uint16 [H, W], about ``number`` ids, each connected.

    k-means in (L, a, b, x, y) that starts from a regular grid, with distance
    D^2 = d_Lab^2 + (compactness d_xy / S)^2, S the grid step (eq. 3). A pixel is compared with the centres of its own
    grid cell and of the eight around it, which is the paper's 2S x 2S search in another order.
    """
    height, width = image.shape[:2]
    rows, columns = _grid(height, width, number)
    step = math.sqrt(height * width / (rows * columns))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    position = np.stack([y, x], axis=-1) * np.float32(compactness / step)
    points = np.concatenate([lab(image), position], axis=-1).reshape(-1, 5)
    cell_y = np.minimum((y * rows / height).astype(np.int64), rows - 1)
    cell_x = np.minimum((x * columns / width).astype(np.int64), columns - 1)
    near = _neighbours(cell_y.ravel(), cell_x.ravel(), rows, columns)
    ids = (cell_y * columns + cell_x).ravel()
    for _ in range(rounds):
        centres = _means(points, ids, rows * columns)
        distance = np.stack([((points - centres[c]) ** 2).sum(axis=1) for c in near])
        ids = np.take_along_axis(near, distance.argmin(axis=0)[None], axis=0)[0]
    return connected(ids.reshape(height, width), round(step * step / 4))


def connected(ids: NDArray[np.int64], smallest: int) -> Ids:
    """``ids`` [H, W] with every connected piece of its own, numbered from 0; pieces below ``smallest`` pixels go to a
    neighbour (section 3.1, last paragraph)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    place = np.arange(ids.size).reshape(ids.shape)
    pairs = np.concatenate(
        [
            np.stack([place[:, 1:].ravel(), place[:, :-1].ravel()]),
            np.stack([place[1:].ravel(), place[:-1].ravel()]),
        ],
        axis=1,
    )
    flat = ids.ravel()
    alike = pairs[:, flat[pairs[0]] == flat[pairs[1]]]
    links = coo_matrix((np.ones(alike.shape[1]), alike), shape=(ids.size, ids.size))
    count, piece = connected_components(links, directed=False)
    sizes = np.bincount(piece, minlength=count)
    target = _absorbed(piece[pairs], sizes, smallest)
    _, renumbered = np.unique(target[piece], return_inverse=True)
    return renumbered.reshape(ids.shape).astype(np.uint16)


def lab(image: UInt8) -> Floats:
    """CIE L*a*b* float32 [H, W, 3] of sRGB uint8 [H, W, 3] (D65)."""
    srgb = image / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    t = linear @ TO_XYZ.T / WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    found = [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])]
    return np.stack(found, axis=-1).astype(np.float32)


def _grid(height: int, width: int, number: int) -> tuple[int, int]:
    """Rows and columns of about square cells, at most as many as there are pixels and as 16 bits can number."""
    step = max(1.0, math.sqrt(height * width / min(number, 2**15)))
    return max(1, round(height / step)), max(1, round(width / step))


def _neighbours(y: NDArray[np.int64], x: NDArray[np.int64], rows: int, columns: int) -> NDArray[np.int64]:
    """Cells around each pixel's own, int64 [9, N]; beyond the image's edge the own row or column again."""
    around = [
        np.clip(y + i, 0, rows - 1) * columns + np.clip(x + j, 0, columns - 1) for i in (0, -1, 1) for j in (0, -1, 1)
    ]
    return np.stack(around)


def _means(points: Floats, ids: NDArray[np.int64], count: int) -> Floats:
    """Mean point of each id, float32 [count, 5]; one that has lost all its pixels goes out of reach."""
    sizes = np.bincount(ids, minlength=count)
    sums = np.stack([np.bincount(ids, weights=points[:, d], minlength=count) for d in range(points.shape[1])], axis=1)
    means = sums / np.maximum(sizes, 1)[:, None]
    means[sizes == 0] = 1e6
    return means.astype(np.float32)


def _absorbed(pairs: NDArray[np.int64], sizes: NDArray[np.int64], smallest: int) -> NDArray[np.int64]:
    """Piece that each piece becomes part of: small ones, the smallest first, join their largest neighbour.

    ``pairs`` int [2, E]: pieces of neighbouring pixels; ``sizes`` int [P] in pixels.
    """
    size, parent = sizes.tolist(), list(range(len(sizes)))
    around: list[set[int]] = [set() for _ in parent]
    for a, b in np.unique(pairs[:, pairs[0] != pairs[1]], axis=1).T.tolist():
        around[a].add(b)
        around[b].add(a)

    def root(piece: int) -> int:
        while parent[piece] != piece:
            piece = parent[piece]
        return piece

    for piece in np.argsort(sizes, kind="stable").tolist():
        others = {root(other) for other in around[piece]} - {piece}
        if size[piece] < smallest and others:
            into = max(others, key=lambda other: (size[other], -other))
            parent[piece] = into
            size[into] += size[piece]
            around[into] |= around[piece]
    return np.array([root(piece) for piece in range(len(parent))])
