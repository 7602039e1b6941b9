"""Near-duplicates within a synthetic set: the share of images that come twice, the plainest sign of mode collapse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Estimate, Strings
from bench.errors import DataError, UndefinedMetric
from bench.metrics.arrays import Share, canonical_order
from bench.metrics.estimates import of_share
from bench.metrics.features import symmetric_features
from bench.metrics.unsplit import leave_one_out
from bench.pixels import PixelArray

LEAST = 50  # images a side: below, the 1 % quantile is the smallest distance and little else
NULL = 0.01


def duplicate_rate(
    held_out: PixelArray, synthetic: PixelArray, groups: Strings | None = None, seed: int = 0
) -> Estimate:
    """Share of ``synthetic`` uint8 [M, S, S, 3] that nearly equal another of them, against ``held_out`` reals.

    Near-identical: nearer than the 1 % quantile of the distance of a real image to its nearest other one, so that a
    set as varied as reals scores 0.01, whatever its size; a generator of one image scores 1. Distances are Euclidean,
    between thumbnails of 16 x 16 pixels, the smallest over the eight flips and rotations. They shrink as a set grows:
    both sides are brought to the same n (seeded). ``groups`` str [N]: lesions or patients of the reals, of which one
    image each is kept, as photographs of one lesion are near-identical. ``extra``: the threshold, the median distance
    to the nearest other on both sides, and the size of the largest family of linked near-identical images.
    Raises :class:`UndefinedMetric` with fewer than 50 images a side, :class:`DataError` for images that are not square.
    """
    first = np.arange(len(held_out)) if groups is None else np.sort(np.unique(groups, return_index=True)[1])
    if groups is not None and len(groups) != len(held_out):
        raise DataError(f"{len(groups)} groups for {len(held_out)} held-out images")
    _enough(min(len(first), len(synthetic)))
    return duplicate_rate_of(symmetric_features(held_out[first]), symmetric_features(synthetic), seed)


def duplicate_rate_of(held_out: NDArray[Any], synthetic: NDArray[Any], seed: int = 0) -> Estimate:
    """:func:`duplicate_rate` from thumbnails in all orientations, [8, N, D] (one image a lesion) and [8, M, D]."""
    n = min(held_out.shape[1], synthetic.shape[1])
    _enough(n)
    rng = np.random.default_rng(seed)
    reals, drawn = _chosen(held_out, n, rng), _chosen(synthetic, n, rng)
    of_reals, found = leave_one_out(reals), leave_one_out(drawn)
    threshold = float(np.quantile(of_reals.distances, NULL, method="lower"))
    near = found.distances < threshold if threshold > 0 else found.distances <= threshold
    extra = {
        "threshold": threshold,
        "null": NULL,
        "median_distance": float(np.median(found.distances)),
        "median_distance_real": float(np.median(of_reals.distances)),
        "largest_family": _largest_family(near, found.rows),
    }
    method = "nearest other synthetic below the 1 % quantile of nearest other held-out real; 16 px, 8 orientations"
    estimate = of_share(Share(int(near.sum()), n), "lower", method)
    return Estimate(**{**vars(estimate), "extra": {**estimate.extra, **extra}})


def _enough(n: int) -> None:
    if n < LEAST:
        raise UndefinedMetric(f"undefined, because n = {n} (one image a lesion) and at least {LEAST} are needed")


def _chosen(features: NDArray[Any], n: int, rng: np.random.Generator) -> NDArray[Any]:
    """``n`` of the rows of [8, N, D], the same in all orientations; the order they come in decides nothing."""
    order = canonical_order(features[0])
    return features[:, order[rng.permutation(len(order))[:n]]]


def _largest_family(near: NDArray[np.bool_], rows: NDArray[np.int64]) -> int:
    """Images in the largest group linked by "nearest other one, and near-identical"; 1 where no two are."""
    parent = np.arange(len(near))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for i in np.flatnonzero(near).tolist():
        parent[root(i)] = root(int(rows[i]))
    return int(np.bincount([root(i) for i in range(len(near))]).max())
