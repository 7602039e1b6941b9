"""Memorization where nobody says which reals the generator saw: any of them may have been copied.

The null cannot come from held-out images then. It is taken from the reals themselves, each compared with all others:
a copied image lies nearer to its original than reals lie to each other. Photographs of one lesion make that null
stricter (fewer copies are found), never looser.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.contracts import Estimate
from bench.metrics.arrays import canonical_order, features
from bench.metrics.estimates import defined, of_share
from bench.metrics.memorization import CopyRate, Nearest, authenticity_of, nearest, own_distances
from bench.metrics.neighbours import k_nearest


def leave_one_out(reals: ArrayLike) -> Nearest:
    """The nearest other image of each of ``reals`` [N, D] or [8, N, D] (over its orientations), N >= 3."""
    array = np.asarray(reals)
    parts = [features(part, "real", least=3) for part in (array if array.ndim == 3 else array[None])]
    own = np.arange(len(parts[0]))
    best: Nearest | None = None
    for part in parts:
        found = k_nearest(part, parts[0], 2)
        other = (found.row[:, 0] == own).astype(np.int64)  # the image itself, whichever way it is turned, is no other
        row, distance = found.row[own, other], found.distance[own, other]
        if best is not None:
            closer = distance < best.distances
            row, distance = np.where(closer, row, best.rows), np.where(closer, distance, best.distances)
        best = Nearest(row, distance)
    assert best is not None
    return best


def measure_unsplit(reals: NDArray[Any], synthetic: NDArray[Any]) -> dict[str, Estimate]:
    """Estimates "copy_rate" and "authenticity" of ``synthetic`` [M, D] against all ``reals`` [N, D], any of them seen.

    [8, N, D] and [8, M, D] hold orientations. "copy_rate": share nearer to a real than 1 % of the reals are to another;
    "authenticity" as in :func:`bench.metrics.authenticity`, null of the reals among themselves in ``extra``.
    """
    n = synthetic.shape[-2]
    reals = reals[..., canonical_order(_plain(reals)), :]  # so that ties do not depend on the order given
    return {
        "copy_rate": defined(partial(_copy_rate, reals, synthetic), n, "lower"),
        "authenticity": defined(partial(_authenticity, reals, synthetic), n, "none"),
    }


def _copy_rate(reals: NDArray[Any], synthetic: NDArray[Any]) -> Estimate:
    found = CopyRate.of(nearest(synthetic, _plain(reals), "synthetic").distances, leave_one_out(reals).distances)
    estimate = of_share(found, "lower", "1 % quantile of distances between reals")
    estimate.extra.update(threshold=found.threshold, null=found.held_out_share)
    return estimate


def _authenticity(reals: NDArray[Any], synthetic: NDArray[Any]) -> Estimate:
    own, null = own_distances(_plain(reals)), leave_one_out(reals)
    found = nearest(synthetic, _plain(reals), "synthetic")
    estimate = of_share(authenticity_of(found.rows, found.distances, own), "none", "all reals taken for train")
    estimate.extra["null"] = float(authenticity_of(null.rows, null.distances, own))
    return estimate


def _plain(rows: NDArray[Any]) -> NDArray[Any]:
    return rows[0] if rows.ndim == 3 else rows
