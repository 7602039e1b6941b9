"""Confidence intervals of a proportion."""

from __future__ import annotations

import math
from typing import Literal

from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.stats.checks import normal_quantile

Method = Literal["wilson", "clopper-pearson"]


def proportion_interval(k: int, n: int, method: Method = "wilson", alpha: float = 0.05) -> tuple[float, float]:
    """Two-sided 1 - ``alpha`` interval of k successes in n trials.

    "wilson": score interval (Wilson 1927, JASA 22:209), near nominal coverage for any n.
    "clopper-pearson": exact tail-inverting interval (Clopper & Pearson 1934, Biometrika 26:404), never below nominal
    coverage; the choice at k = 0 and k = n. Raises :class:`UndefinedMetric` at n = 0.
    """
    if n == 0:
        raise UndefinedMetric("undefined, because there are no cases to count (n = 0)")
    if not 0 <= k <= n:
        raise DataError(f"{k} successes in {n} trials: the count must lie in 0..{n}")
    if method == "wilson":
        return _wilson(k, n, normal_quantile(1 - alpha / 2))
    if method == "clopper-pearson":
        return _clopper_pearson(k, n, alpha)
    raise ConfigError(f"interval method {method!r} is unknown: use 'wilson' or 'clopper-pearson'")


def _wilson(k: int, n: int, z: float) -> tuple[float, float]:
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    # The limits at k = 0 and k = n are 0 and 1 exactly; the formula misses them by a rounding.
    return (0.0 if k == 0 else max(0.0, centre - half)), (1.0 if k == n else min(1.0, centre + half))


def _clopper_pearson(k: int, n: int, alpha: float) -> tuple[float, float]:
    from scipy.special import betaincinv

    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, alpha / 2))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - alpha / 2))
    return low, high
