"""The data-copying statistic C_T with its cells and interval (Meehan et al. 2020, arXiv:2004.05675, section 4).

In each cell of a partition of feature space: do synthetic images lie nearer to train than held-out reals do? The cells
keep a generator that copies in one mode from hiding behind others where it underfits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.contracts import Estimate
from bench.errors import ConfigError, UndefinedMetric
from bench.metrics.arrays import Float, Int, features, in_canonical_order, same_width
from bench.metrics.memorization import cell_distances, mann_whitney_z

PER_CELL = 50
MOST_CELLS = 10


class Cells(NamedTuple):
    """Cell number int64 of each image: held_out [H], synthetic [M], train [T]."""

    held_out: Int
    synthetic: Int
    train: Int


def kmeans_cells(
    held_out: ArrayLike, synthetic: ArrayLike, train: ArrayLike, cells: int | None = None, seed: int = 0
) -> Cells:
    """Cells of k-means on ``train`` [T, D]; ``cells`` None: one for each 50 images of the smaller real set, at most 10.

    held_out [H, D], synthetic [M, D]. Features are centred first and train is put in canonical order, so that row order
    and a shift do not matter. Raises :class:`UndefinedMetric` with fewer training images than cells.
    """
    p, q, t = features(held_out, "held_out"), features(synthetic, "synthetic"), features(train, "train")
    same_width(held_out=p, synthetic=q, train=t)
    count = max(1, min(MOST_CELLS, min(len(p), len(t)) // PER_CELL)) if cells is None else cells
    if count < 1:
        raise ConfigError(f"at least one cell is needed, got {count}")
    if count > len(t):
        raise UndefinedMetric(f"undefined, because {count} cells need as many training images, n = {len(t)}")
    if count == 1:
        return Cells(*(np.zeros(len(rows), dtype=np.int64) for rows in (p, q, t)))
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    ordered = t[np.lexsort(t.T[::-1])]  # by value, as a shift may change the order of the bytes
    centre = ordered.mean(axis=0, dtype=np.float64)
    with threadpool_limits(1):  # sums in one order whatever the machine
        fitted = KMeans(count, n_init=4, random_state=seed).fit(ordered - centre)
        return Cells(*(fitted.predict(rows - centre).astype(np.int64) for rows in (p, q, t)))


def measure_c_t(
    held_out: ArrayLike,
    synthetic: ArrayLike,
    train: ArrayLike,
    cells: int | None = None,
    seed: int = 0,
    replicates: int = 1_000,
) -> Estimate:
    """C_T over :func:`kmeans_cells`: below about -3 standard deviations of its null the synthetic set copies train.

    Interval: bootstrap of held-out and synthetic images within the cells, train fixed. ``extra``: "z" (C_T over its
    null SD, sqrt of the sum of squared weights), "cells", "z_by_cell". Arrays [n, D]. Raises :class:`UndefinedMetric`
    where a cell lacks train or held-out images.
    """
    p, q, t = (
        in_canonical_order(features(rows, name))
        for rows, name in ((held_out, "held_out"), (synthetic, "synthetic"), (train, "train"))
    )
    parts = kmeans_cells(p, q, t, cells, seed)
    found = cell_distances(p, q, t, parts)
    by_cell = np.array([mann_whitney_z(cell.held_out, cell.synthetic) for cell in found])
    weights = np.array([cell.weight for cell in found])
    weights /= weights.sum()
    rng = np.random.default_rng(seed)
    drawn = np.stack([_resampled_z(cell.held_out, cell.synthetic, rng, replicates) for cell in found])
    value, (low, high) = float(weights @ by_cell), np.quantile(weights @ drawn, [0.025, 0.975])
    extra = {"cells": int(parts.train.max()) + 1, "z_by_cell": by_cell.tolist(), "seed": seed}
    extra |= {"z": value / float(np.sqrt(np.sum(weights**2))), "null": 0.0, "n_held_out": len(p), "n_train": len(t)}
    method = f"{len(found)} k-means cells; bootstrap of held-out and synthetic within cells, {replicates} replicates"
    return Estimate(value, float(low), float(high), len(q), "", "none", method, extra=extra)


def _resampled_z(p: Float, q: Float, rng: np.random.Generator, replicates: int) -> Float:
    """Mann-Whitney z [B] of resamples of p [n] and q [m]; from counts, so that ties stay ties."""
    values, codes = np.unique(np.concatenate([p, q]), return_inverse=True)
    n, m = len(p), len(q)
    out = np.empty(replicates)
    for b in range(replicates):
        u = np.bincount(codes[:n][rng.integers(0, n, n)], minlength=len(values))
        v = np.bincount(codes[n:][rng.integers(0, m, m)], minlength=len(values))
        wins = float(v @ (np.cumsum(u) - u / 2))
        out[b] = (wins - (n * m / 2 - 0.5)) / np.sqrt(n * m * (n + m + 1) / 12)
    return out
