"""Estimates of memorization: how near synthetic images are to train, beside what held-out reals give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Direction, Estimate
from bench.metrics import memorization
from bench.metrics.arrays import Float
from bench.metrics.copy_chance import ALPHA, chance_of_count
from bench.metrics.estimates import defined, of_share

Array = NDArray[Any]
GATE = 0.05  # precision below this: the images are so far from reality that noise would pass as private


class Privacy:
    """Train, held-out and synthetic images under one encoder; what several numbers need is found once.

    train [T, D] or [8, T, D] (the first orientation counts); held_out [H, D], synthetic [M, D], or [8, ...] with the
    orientations of each image. ``groups`` str [T]: lesion or patient of each training image.
    """

    def __init__(
        self, train: Array, held_out: Array, synthetic: Array, groups: Any, seed: int, replicates: int
    ) -> None:
        train = np.asarray(train)
        train = train[0] if train.ndim == 3 else train
        self.order = memorization.tie_order(train)  # so that ties depend on distances alone
        self.train, self.groups = train[self.order], None if groups is None else np.asarray(groups)[self.order]
        self.held_out, self.synthetic = np.asarray(held_out), np.asarray(synthetic)
        self.seed, self.replicates = seed, replicates

    @cached_property
    def of_synthetic(self) -> memorization.TrainNeighbours:
        """Training neighbours of the synthetic images."""
        return memorization.train_neighbours(self.synthetic, self.train, self.groups, "synthetic")

    @cached_property
    def of_held_out(self) -> memorization.TrainNeighbours:
        """Training neighbours of held-out reals: the null."""
        return memorization.train_neighbours(self.held_out, self.train, self.groups, "held_out")

    def measure(self) -> dict[str, Estimate]:
        """Metrics "copy_rate", "nn_ratio", "share_nearer_train", "authenticity"."""
        makers: dict[str, tuple[Callable[[], Estimate], Direction]] = {
            "copy_rate": (self.copy_rate, "lower"),
            "nn_ratio": (self.nn_ratio, "none"),
            "share_nearer_train": (self.share_nearer_train, "none"),
            "authenticity": (self.authenticity, "none"),
        }
        return {name: defined(make, self.synthetic.shape[-2], d) for name, (make, d) in makers.items()}

    def copy_rate(self) -> Estimate:
        """Copy rate at 1 % FPR, binomial interval given the threshold."""
        found = memorization.CopyRate.of(self.of_synthetic.distances, self.of_held_out.distances)
        estimate = of_share(found, "lower", "1 % quantile of held-out distances")
        estimate.extra.update(threshold=found.threshold, null=found.held_out_share)
        return estimate

    def nn_ratio(self) -> Estimate:
        """Median ratio of nearest distances; the 5 % quantile, where copies show first, in ``extra``."""
        ratios, null = memorization.ratio_of(self.of_synthetic), memorization.ratio_of(self.of_held_out)
        low, high = median_interval(ratios, self.seed, self.replicates)
        extra = {"null": float(np.median(null)), "q05": _q05(ratios), "null_q05": _q05(null)}
        method = "median; bootstrap over synthetic images"
        return Estimate(float(np.median(ratios)), low, high, len(ratios), "", "none", method, extra=extra)

    def share_nearer_train(self) -> Estimate:
        """Share nearer to train than to as many held-out reals; null .5."""
        plain = self.held_out[0] if self.held_out.ndim == 3 else self.held_out
        estimate = of_share(memorization.share_nearer_train(self.train, plain, self.synthetic, self.seed), "none")
        estimate.extra["null"] = 0.5
        return estimate

    def authenticity(self) -> Estimate:
        """Authenticity with that of held-out reals, which is not 1, as the null."""
        own = memorization.own_distances(self.train)
        found, null = (
            memorization.authenticity_of(side.rows, side.distances, own)
            for side in (self.of_synthetic, self.of_held_out)
        )
        estimate = of_share(found, "none")
        estimate.extra["null"] = float(null)
        return estimate


def median_interval(values: Float, seed: int, replicates: int) -> tuple[float, float]:
    """Percentile bootstrap limits of the median of ``values`` [N]; order of rows does not matter."""
    ordered = np.sort(values)
    rng = np.random.default_rng(seed)
    step = max(1, 2**22 // len(ordered))
    blocks = [
        np.median(ordered[rng.integers(0, len(ordered), (min(step, replicates - start), len(ordered)))], axis=1)
        for start in range(0, replicates, step)
    ]
    low, high = np.quantile(np.concatenate(blocks), [0.025, 0.975])
    return float(low), float(high)


def gate(privacy: dict[str, Estimate], precision: Estimate, held_out: int) -> dict[str, Estimate]:
    """The estimates of ``privacy``, as "not applicable" where fidelity is so poor that noise would look private.

    A copy rate that chance does not give stays: copies are copies however poor the rest is. ``held_out``: how many
    images set its threshold.
    """
    if precision.high is None or precision.high >= GATE:
        return privacy
    return {name: e if shows_copies(name, e, held_out) else _gated(e, precision) for name, e in privacy.items()}


def shows_copies(name: str, estimate: Estimate, held_out: int) -> bool:
    """Whether ``estimate`` is a copy rate, and one that fewer than 2.5 % of innocent generators would reach."""
    return name.startswith("copy_rate") and (p := p_innocent(estimate, held_out)) is not None and p <= ALPHA


def p_innocent(estimate: Estimate, held_out: int) -> float | None:
    """Chance of this copy rate or a higher one without copying, None for one without a value."""
    return None if estimate.value is None else chance_of_count(int(estimate.extra["k"]), estimate.n, held_out)


def _gated(estimate: Estimate, precision: Estimate) -> Estimate:
    if estimate.value is None:
        return estimate
    reason = f"precision is {precision.value:.3f}, and with images so far from real ones noise would look private"
    extra = estimate.extra | {"ungated": estimate.value}
    return replace(estimate, value=None, low=None, high=None, reason=reason, extra=extra)


def _q05(values: Float) -> float:
    return float(np.quantile(values, 0.05))
