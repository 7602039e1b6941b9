"""Realism of single synthetic images (Kynkäänniemi et al. 2019, arXiv:1904.06991, section 5, equation 3).

    R(s) = max over real r of  radius(r) / |s - r|        radius: distance of r to its k-th nearest other real

Only the balls with a radius up to the median count: large balls lie where reals are sparse and would call anything
real. R >= 1: the image lies in such a ball.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bench.contracts import Estimate
from bench.errors import ConfigError
from bench.metrics.arrays import Features, Float, Int, features, in_canonical_order, same_width
from bench.metrics.neighbours import Cloud, clouds, exact_kth, exact_squares, lower_bounds, upper_of
from bench.metrics.privacy import median_interval

MOST = 1e3  # a copy has R = infinity, which has no place in an average


def realism(real: ArrayLike, synthetic: ArrayLike, k: int = 3) -> Float:
    """Realism float64 [M] of ``synthetic`` [M, D] given ``real`` [N, D], N > k, in the order of ``synthetic``.

    Infinite where a synthetic image equals a real one in a ball of positive radius, 1 where that radius is 0.
    Row order and a shift of all features change nothing. Raises :class:`UndefinedMetric` with k or fewer reals,
    :class:`DataError` on NaN or unequal widths.
    """
    if k < 1:
        raise ConfigError(f"k must be at least 1, got {k}")
    x, y = features(real, "real", least=k + 1), features(synthetic, "synthetic")
    same_width(real=x, synthetic=y)
    everything = clouds(x)[0]
    squares = exact_kth(everything, k, np.arange(len(x)))
    kept = squares <= np.median(squares)
    return np.sqrt(_largest_ratio(x[kept], squares[kept], y))


def _largest_ratio(reals: Features, squares: Float, synthetic: Features) -> Float:
    """max over r of squares[r] / |s - r|², float64 [M], exact where bounds from float32 products leave it open."""
    balls, points = clouds(reals, synthetic)
    radii = squares / points.scale**2 / 2
    out = np.empty(len(points))
    columns = np.arange(len(balls))
    for start, lower in lower_bounds(points, balls):
        own = np.arange(start, start + len(lower))
        high = upper_of(lower.astype(np.float64), points, balls, own[:, None], columns)
        most = np.divide(radii, lower, out=np.full(lower.shape, np.inf), where=lower > 0)
        i, j = np.nonzero(most >= (radii / high).max(axis=1, keepdims=True))
        ratios = _ratios(points, balls, i + start, j, squares)
        out[own] = np.maximum.reduceat(ratios, np.searchsorted(i, np.arange(len(lower))))
    return out


def _ratios(points: Cloud, balls: Cloud, i: Int, j: Int, squares: Float) -> Float:
    apart = exact_squares(points, balls, i, j)
    out = np.where(squares[j] > 0, np.inf, 1.0)
    return np.asarray(np.divide(squares[j], apart, out=out, where=apart > 0))


def measure_realism(real: ArrayLike, synthetic: ArrayLike, seed: int, k: int = 3, replicates: int = 1_000) -> Estimate:
    """Median realism of ``synthetic`` [M, D] with bootstrap limits, each R counted up to 1,000.

    ``extra``: share with R >= 1, 5 % quantile.
    """
    found = realism(real, in_canonical_order(features(synthetic, "synthetic")), k)
    capped = np.minimum(found, MOST)
    low, high = median_interval(capped, seed, replicates)
    extra = {"share_realistic": float(np.mean(found >= 1)), "q05": float(np.quantile(capped, 0.05)), "k": k}
    method = f"median; k = {k}, balls up to the median radius; bootstrap over synthetic images"
    return Estimate(float(np.median(capped)), low, high, len(found), "", "higher", method, extra=extra)
