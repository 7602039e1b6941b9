"""Which labels to ask a generator for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def spread_labels(n: int, weights: ArrayLike) -> NDArray[np.int64]:
    """``n`` labels in the proportions of ``weights`` [K], by largest remainders, sorted by class; int64 [n]."""
    share = np.asarray(weights, dtype=np.float64)
    if share.sum() <= 0:
        raise ValueError("weights must have a positive sum")
    exact = n * share / share.sum()
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")  # most negative first: largest remainder
    counts[order[: n - counts.sum()]] += 1
    return np.repeat(np.arange(len(share), dtype=np.int64), counts)


def balancing_labels(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels that bring every class up to the largest: class k ``max - counts[k]`` times; int64 [M]."""
    missing = counts.max() - counts
    return np.repeat(np.arange(len(counts), dtype=np.int64), missing)
