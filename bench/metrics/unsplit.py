"""Memorization where nobody says which reals the generator saw: any of them may have been copied.

The null cannot come from held-out images then. It is taken from the reals themselves, each compared with all others:
a copied image lies nearer to its original than reals lie to each other. Photographs of one lesion make that null
stricter (fewer copies are found), never looser.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.contracts import Estimate
from bench.metrics.arrays import features
from bench.metrics.estimates import defined, of_share
from bench.metrics.memorization import CopyRate, Nearest, authenticity_of, closest_of, nearest, own_distances, tie_order
from bench.metrics.neighbours import k_nearest


def leave_one_out(reals: ArrayLike) -> Nearest:
    """The nearest other image of each of ``reals`` [N, D] or [8, N, D] (over its orientations), N >= 3."""
    array = np.asarray(reals)
    parts = [features(part, "real", least=3) for part in (array if array.ndim == 3 else array[None])]
    own = np.arange(len(parts[0]))
    searches = []
    for part in parts:
        found = k_nearest(part, parts[0], 2)
        other = (found.row[:, 0] == own).astype(np.int64)  # the image itself, whichever way it is turned, is no other
        searches.append(Nearest(found.row[own, other], found.distance[own, other]))
    return closest_of(searches)


class Unsplit:
    """Reals and synthetic images under one encoder; what both numbers need is found once.

    reals [N, D], synthetic [M, D], or [8, ...] with the orientations of each image.
    """

    def __init__(self, reals: NDArray[Any], synthetic: NDArray[Any]) -> None:
        plain = reals[0] if reals.ndim == 3 else reals
        self.order = tie_order(plain)  # so that ties depend on distances alone
        self.reals, self.synthetic = reals[..., self.order, :], synthetic

    @cached_property
    def plain(self) -> NDArray[Any]:
        """The reals as they are, [N, D]."""
        return self.reals[0] if self.reals.ndim == 3 else self.reals

    @cached_property
    def of_synthetic(self) -> Nearest:
        """The nearest real of each synthetic image."""
        return nearest(self.synthetic, self.plain, "synthetic")

    @cached_property
    def of_reals(self) -> Nearest:
        """The nearest other real of each real: the null."""
        return leave_one_out(self.reals)

    def measure(self) -> dict[str, Estimate]:
        """Estimates "copy_rate" and "authenticity"."""
        n = self.synthetic.shape[-2]
        return {
            "copy_rate": defined(self.copy_rate, n, "lower"),
            "authenticity": defined(self.authenticity, n, "none"),
        }

    def copy_rate(self) -> Estimate:
        """Share of synthetic images nearer to a real one than 1 % of the reals are to another."""
        found = CopyRate.of(self.of_synthetic.distances, self.of_reals.distances)
        estimate = of_share(found, "lower", "1 % quantile of distances between reals")
        estimate.extra.update(threshold=found.threshold, null=found.held_out_share)
        return estimate

    def authenticity(self) -> Estimate:
        """As :func:`bench.metrics.authenticity` with all reals as train; the reals among themselves as null."""
        own, near, null = own_distances(self.plain), self.of_synthetic, self.of_reals
        estimate = of_share(authenticity_of(near.rows, near.distances, own), "none", "all reals taken for train")
        estimate.extra["null"] = float(authenticity_of(null.rows, null.distances, own))
        return estimate
