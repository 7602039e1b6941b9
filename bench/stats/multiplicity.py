"""Many comparisons at once: adjusted p-values, and ranks that do not pretend to separate what is not separable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import DataError
from bench.stats.checks import Float, Int


def holm(p: ArrayLike) -> Float:
    """Holm's step-down adjusted p-values float64 [M], in the order given (Holm 1979); family-wise error rate."""
    values = _p_values(p)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    return _restore(np.minimum(np.maximum.accumulate(values[order] * factors), 1.0), order)


def benjamini_hochberg(p: ArrayLike) -> Float:
    """Benjamini-Hochberg adjusted p-values float64 [M], in the order given (1995); false discovery rate."""
    values = _p_values(p)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * (len(values) / np.arange(1, len(values) + 1))  # factors >= 1: never below p, to the bit
    return _restore(np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0), order)


class Standing(NamedTuple):
    """``rank`` 1 is best; entries that share a ``tie_group`` cannot be told apart from its leader.

    ``best`` and ``worst`` bound the rank: 1 + the entries that are surely better, M - those that are surely worse.
    """

    rank: int
    tie_group: int
    best: int
    worst: int


def standings(low: Sequence[float], high: Sequence[float], value: Sequence[float]) -> list[Standing]:
    """Ranks of M entries from their intervals (higher is better; negate all three for lower is better).

    An entry is surely better than another when its whole interval lies above the other's. Disjoint intervals are
    sufficient, not necessary, for a difference: rank intervals are on the safe side (wide).
    """
    lows, highs, values = (np.asarray(a, dtype=np.float64) for a in (low, high, value))
    if not (len(lows) == len(highs) == len(values)) or np.any(lows > values) or np.any(values > highs):
        raise DataError("each entry needs low <= value <= high")
    better = lows[:, None] > highs[None, :]  # [i, j]: i surely better than j
    order = np.argsort(-values, kind="stable")
    groups = np.zeros(len(values), dtype=np.int64)
    leader, group = (order[0], 1) if len(order) else (0, 1)
    for i in order:
        if better[leader, i]:
            leader, group = i, group + 1
        groups[i] = group
    ranks = 1 + np.sum(values[None, :] > values[:, None], axis=1)
    best, worst = 1 + better.sum(axis=0), len(values) - better.sum(axis=1)
    return [Standing(*map(int, row)) for row in zip(ranks, groups, best, worst, strict=True)]


def _p_values(p: ArrayLike) -> Float:
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or np.any(~((values >= 0) & (values <= 1))):
        raise DataError("p-values must be a one-dimensional list of numbers in [0, 1]")
    return values


def _restore(ordered: Float, order: Int) -> Float:
    out = np.empty_like(ordered)
    out[order] = ordered
    return out
