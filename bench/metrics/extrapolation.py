"""Fréchet distance extrapolated to infinitely many images (Chong & Forsyth 2020, arXiv:1911.07023).

    FID_m = FID_inf + b / m        fitted by least squares over subsets of m images; the intercept is the estimate

FID grows as n falls (its bias is of order 1 / n and differs between generators); the intercept is freed of that order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bench.contracts import Estimate
from bench.errors import ConfigError
from bench.metrics.arrays import Features, Float, features, in_canonical_order, same_width
from bench.metrics.frechet import distance_of, moments
from bench.stats.checks import t_quantile

LEAST = 20


def frechet_infinity(
    real: ArrayLike,
    synthetic: ArrayLike,
    points: int = 15,
    smallest: float = 0.2,
    fixed_reference: bool = False,
    blocks: int = 10,
    seed: int = 0,
) -> Estimate:
    """FID_inf of real [N, D] and synthetic [M, D]: value (may be negative), t interval by a jackknife, n = M.

    ``points`` subset sizes run evenly from the share ``smallest`` of a set to all of it. Subsets are nested in one
    random order (seeded), and both sides shrink together, as both are samples here; ``fixed_reference`` keeps all
    reals, as the paper does with 50,000 of them, and so keeps their bias. The interval repeats the whole fit without
    one of ``blocks`` blocks of both sets at a time. Row order changes no bit. Raises :class:`UndefinedMetric` with
    fewer than 20 images on a side, :class:`ConfigError` on fewer than 3 points.
    """
    if points < 3 or not 0 < smallest < 1 or blocks < 3:
        raise ConfigError(f"points >= 3, 0 < smallest < 1, blocks >= 3 needed; got {points}, {smallest}, {blocks}")
    sets = features(real, "real", least=LEAST), features(synthetic, "synthetic", least=LEAST)
    same_width(real=sets[0], synthetic=sets[1])
    rng = np.random.default_rng(seed)
    x, y = (rows[rng.permutation(len(rows))] for rows in map(in_canonical_order, sets))
    value, slope = _extrapolated(x, y, points, smallest, fixed_reference)
    left = [
        _extrapolated(_without(x, b, blocks), _without(y, b, blocks), points, smallest, fixed_reference)[0]
        for b in range(blocks)
    ]
    se = float(np.sqrt((blocks - 1) * np.var(left)))
    half = t_quantile(0.975, blocks - 1) * se
    sides = "synthetic side" if fixed_reference else "both sides"
    method = f"intercept over 1/n, {points} nested subsets of {sides}; delete-a-block jackknife, {blocks} blocks, t"
    extra = {"se": se, "slope": slope, "n_reference": len(x), "seed": seed}
    return Estimate(value, value - half, value + half, len(y), "", "lower", method, extra=extra)


def _without(rows: Features, block: int, blocks: int) -> Features:
    """``rows`` without every ``blocks``-th from ``block`` on: what is left is still in random order."""
    return np.asarray(rows[np.arange(len(rows)) % blocks != block])


def _extrapolated(x: Features, y: Features, points: int, smallest: float, fixed_reference: bool) -> tuple[float, float]:
    """(intercept, slope) of the distance over 1 / n of the synthetic subset."""
    shares = np.linspace(smallest, 1, points)
    whole = moments(x) if fixed_reference else None
    sizes = np.maximum(2, np.rint(shares * len(y)).astype(int))
    found = [
        distance_of(whole or moments(x[: max(2, round(share * len(x)))]), moments(y[:m])).raw
        for share, m in zip(shares, sizes, strict=True)
    ]
    return _line(1 / sizes, np.array(found))


def _line(x: Float, y: Float) -> tuple[float, float]:
    slope = float(np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2))
    return float(y.mean() - slope * x.mean()), slope
