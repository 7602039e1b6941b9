"""Shares whole groups out over splits so that every class is spread as asked: deterministic, whatever the row order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Labels, Strings


def allocate(groups: Strings, labels: Labels, shares: Mapping[str, float], seed: int, purpose: str) -> Strings:
    """One of the names in ``shares`` for each row, str [N]; rows of one group get the same.

    groups str [N], labels int64 [N]; ``shares`` are relative. Classes are dealt with from the rarest on (a group
    belongs to the rarest class in it), groups from the largest on and among equals in the order of a hash of ``seed``,
    ``purpose`` and the group's name. A split that has nothing of the class is served first, in the order of ``shares``;
    then each group goes where it comes closest to the share from below (the rule of Webster and Sainte-Laguë).
    """
    names, group_of = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), int(labels.max(initial=0)) + 1), dtype=np.int64)
    np.add.at(counts, (group_of, labels), 1)
    totals = counts.sum(axis=0)
    rank = np.array([hashlib.sha256(f"{seed}/{purpose}/{name}".encode()).hexdigest() for name in names.tolist()])
    stratum = np.where(counts > 0, totals, totals.max(initial=0) + 1).argmin(axis=1)
    weights = np.array(list(shares.values())) / sum(shares.values())
    chosen = _deal(counts, stratum, weights, np.lexsort((rank, -counts.sum(axis=1), totals[stratum])))
    dealt: Strings = np.array(list(shares), dtype=np.str_)[chosen][group_of]
    return dealt


def _deal(
    counts: NDArray[np.int64], stratum: NDArray[np.int64], weights: NDArray[np.float64], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Share int64 [G] of each group; ``counts`` int64 [G, K] rows per class, dealt in ``order``."""
    target = weights[:, None] * counts.sum(axis=0)
    have = np.zeros_like(target)
    chosen = np.zeros(len(counts), dtype=np.int64)
    for g in order.tolist():
        k = stratum[g]
        filled = (have[:, k] + counts[g, k] / 2) / target[:, k]
        chosen[g] = np.argmin(np.where(have[:, k] > 0, filled, 0))
        have[chosen[g]] += counts[g]
    return chosen
