"""Means over pairs of cases with their standard error: U-statistics of order two, complete or incomplete."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.stats.checks import Float, Int


class PairMean(NamedTuple):
    """Mean over pairs, its standard error, and how many pairs there were."""

    value: float
    se: float
    pairs: int


def balanced_pairs(n: int, partners: int, seed: int = 0) -> tuple[Int, Int]:
    """Pairs (i, j) int64 [P] of n cases such that each case is in equally many, about ``partners``: i != j, none twice.

    Cases are laid on a circle in random order (seeded) and joined with their next ``partners`` / 2 (rounded up). From
    ``partners`` >= n - 1 on these are all n (n - 1) / 2 pairs. Raises :class:`UndefinedMetric` with fewer than 2 cases.
    """
    if partners < 1:
        raise ConfigError(f"each case needs at least one partner, got {partners}")
    if n < 2:
        raise UndefinedMetric(f"undefined, because a pair needs two cases and n = {n}")
    if partners >= n - 1:
        first, second = np.triu_indices(n, 1)
        return first.astype(np.int64), second.astype(np.int64)
    circle = np.random.default_rng(seed).permutation(n)
    offsets = np.arange(1, min((partners + 1) // 2, (n - 1) // 2) + 1)
    first = np.repeat(circle, len(offsets))
    second = circle[(np.arange(n)[:, None] + offsets) % n].ravel()
    return first, second


def pair_mean(values: ArrayLike, first: Int, second: Int, n: int) -> PairMean:
    """Mean of h(x_i, x_j) over the pairs of :func:`balanced_pairs`, with the standard error of a U-statistic.

    values [P]: h of each pair. With h = m + a_i + a_j + r_ij (Hoeffding 1948), var = 4 var(a) / n + var(r) / P. The two
    variances are solved from the spread of the pairs and the spread of the cases' means, each with its exact
    expectation under this design, so that pairs of one case do not pass for independent draws. Where cases do not
    matter by themselves (var(a) = 0) the error comes out up to 1.4 times too large, never too small.
    Raises :class:`UndefinedMetric` with fewer than 4 cases, :class:`DataError` on NaN or an unbalanced design.
    """
    h = np.asarray(values, dtype=np.float64)
    if h.shape != first.shape or h.shape != second.shape:
        raise DataError(f"{h.shape} values for {first.shape} and {second.shape} pairs")
    if n < 4:
        raise UndefinedMetric(f"undefined, because a standard error over pairs needs 4 cases and n = {n}")
    if not np.isfinite(h).all():
        raise DataError(f"the value of pair {int(np.flatnonzero(~np.isfinite(h))[0])} is not finite")
    degrees = np.bincount(first, minlength=n) + np.bincount(second, minlength=n)
    if len(np.unique(degrees)) > 1:
        raise DataError("cases are in unequal numbers of pairs: use balanced_pairs")
    mean = float(h.mean())
    # One order of summation whatever the order of the cases within a pair or of the pairs.
    rows = _case_means(h - mean, first, second, n, int(degrees[0]))
    main, rest = _components(float(np.mean((h - mean) ** 2)), float(np.var(rows, ddof=1)), n, int(degrees[0]))
    return PairMean(mean, float(np.sqrt(4 * main / n + rest / len(h))), len(h))


def _case_means(h: Float, first: Int, second: Int, n: int, degree: int) -> Float:
    return (np.bincount(first, weights=h, minlength=n) + np.bincount(second, weights=h, minlength=n)) / degree


def _components(total: float, between: float, n: int, degree: int) -> tuple[float, float]:
    """Variances (of a, of r), not below 0, from their mix in ``total`` (pairs) and ``between`` (case means)."""
    pairs = n * degree / 2
    mix = np.array(
        [
            [2 - 4 / n, 1 - 1 / pairs],
            [(n * (1 + 1 / degree) - 4) / (n - 1), (n - 2) / (degree * (n - 1))],
        ]
    )
    main, rest = np.linalg.solve(mix, [total, between])
    if main < 0:
        return 0.0, total / (1 - 1 / pairs)
    return (float(main), float(rest)) if rest >= 0 else (total / (2 - 4 / n), 0.0)
