"""Bootstrap weights: how often each case is drawn, class by class and cluster by cluster.

A replicate is a row of case weights, so that every statistic becomes an array expression over [replicates, cases].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.errors import ConfigError
from bench.stats.checks import Bool, Float, Int

CELLS = 1 << 19  # weights held at once: 4 MB of float64, so that the passes over them stay in cache
KEPT = 1 << 25  # weights at most that are kept for the next statistic of the same cases: 64 MB

Statistic = Callable[[Float], Float]  # weights [b, N] -> values [b]


def class_streams(seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Independent streams of the positives and the negatives: neither block size nor the other class moves them."""
    positive, negative = np.random.SeedSequence(seed).spawn(2)
    return np.random.default_rng(positive), np.random.default_rng(negative)


def draw_counts(rng: np.random.Generator, draws: int, slot: Int | None, slots: int, rows: int) -> Int:
    """Multinomial counts int64 [rows, slots]: ``draws`` items with replacement, item i counted at ``slot[i]``.

    ``slot`` None stands for the identity. Uniform integers and one bincount: several times faster than a multinomial
    by conditional binomials at these sizes.
    """
    drawn = rng.integers(0, draws, size=(rows, draws))
    if slot is not None:
        drawn = slot[drawn]
    drawn += np.arange(0, rows * slots, slots)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * slots).reshape(rows, slots)


def clusters_of(mask: Bool, groups: Int | None) -> tuple[Int, int]:
    """Cluster code 0..C-1 of each case in ``mask`` (int64 [sum(mask)]) and C; each case is its own without groups."""
    if groups is None:
        return np.arange(int(mask.sum()), dtype=np.int64), int(mask.sum())
    names, codes = np.unique(groups[mask], return_inverse=True)
    return codes.astype(np.int64), len(names)


def case_weights(labels: Bool, groups: Int | None, replicates: int, seed: int) -> Iterator[Float]:
    """Blocks float64 [b, N] of case weights, ``replicates`` rows in all.

    Within each class clusters (the cases of one group in that class) are drawn with replacement, as many as there
    are; all cases of a drawn cluster count. Rows do not depend on the block size. All arms of a run share their cases,
    so the weights drawn last are kept where they are few.
    """
    if replicates < 2:
        raise ConfigError(f"at least 2 replicates are needed, got {replicates}")
    n = len(labels)
    if n * replicates > KEPT or n > np.iinfo(np.uint16).max:  # a case is drawn N times at the most
        yield from _drawn(labels, groups, replicates, seed)
        return
    codes = None if groups is None else np.asarray(groups, dtype=np.int64).tobytes()
    kept = _kept(labels.tobytes(), codes, replicates, seed)
    step = max(1, CELLS // max(1, n))
    for start in range(0, replicates, step):
        yield kept[start : start + step].astype(np.float64)


@lru_cache(maxsize=2)
def _kept(labels: bytes, groups: bytes | None, replicates: int, seed: int) -> NDArray[np.uint16]:
    """All weights [replicates, N]; labels and groups as the bytes of their arrays, which are keys of the cache."""
    codes = None if groups is None else np.frombuffer(groups, dtype=np.int64)
    blocks = _drawn(np.frombuffer(labels, dtype=np.bool_), codes, replicates, seed)
    return np.concatenate([block.astype(np.uint16) for block in blocks])


def _drawn(labels: Bool, groups: Int | None, replicates: int, seed: int) -> Iterator[Float]:
    streams = class_streams(seed)
    masks = [labels, ~labels]
    clusters = [clusters_of(mask, groups) for mask in masks]
    step = max(1, CELLS // max(1, len(labels)))
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        out = np.empty((rows, len(labels)))
        for rng, mask, (codes, count) in zip(streams, masks, clusters, strict=True):
            if count:
                drawn = draw_counts(rng, count, None, count, rows)
                out[:, mask] = drawn if groups is None else drawn[:, codes]
        yield out
