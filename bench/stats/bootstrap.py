"""Stratified, lesion-clustered bootstrap of sensitivity, specificity, accuracy and AUC, and of any weighted statistic.

Resampling is stratified by class, so the class counts of the test set stay as they are (up to cluster sizes), and
clustered: the photographs of one lesion are drawn together (Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import ConfigError, DataError
from bench.stats.checks import Bool, Float, Int, binary_labels, finite_scores, group_codes
from bench.stats.resample import CELLS, Statistic, case_weights, class_streams, clusters_of, draw_counts
from bench.stats.weighted import auc_of, ranked_runs


@dataclass(frozen=True)
class Bootstrapped:
    """A statistic with its bootstrap: percentile limits, standard error (ddof = 1) and the replicates [B]."""

    value: float
    low: float
    high: float
    se: float
    replicates: Float

    @classmethod
    def of(cls, value: float, replicates: Float, alpha: float = 0.05) -> Bootstrapped:
        """Percentile limits at ``alpha`` / 2 on each side, on the grid of the replicates."""
        low, high = np.quantile(replicates, [alpha / 2, 1 - alpha / 2], method="inverted_cdf")
        return cls(float(value), float(low), float(high), float(np.std(replicates, ddof=1)), replicates)


def stratified_bootstrap(
    y: ArrayLike,
    score: ArrayLike,
    threshold: float,
    groups: Any = None,
    replicates: int = 10_000,
    seed: int = 0,
    alpha: float = 0.05,
) -> dict[str, Bootstrapped]:
    """Bootstrap of "sensitivity", "specificity", "accuracy" at ``threshold`` and of "auc".

    y 0/1 [N]; score [N], positive at score >= threshold; groups names [N] or None (each case by itself).
    What has no value because a class is absent is left out: no positives, no "sensitivity"; "auc" needs both.
    The sets of clusters, not the order of rows, decide the replicates. Raises :class:`DataError` on bad input.
    """
    labels = binary_labels(y)
    values, codes = finite_scores(score, len(labels)), group_codes(groups, len(labels))
    if np.isnan(threshold):
        raise DataError("the threshold is NaN")
    out = share_bootstrap(labels, (values >= threshold) == labels, codes, replicates, seed, alpha)
    if "sensitivity" in out and "specificity" in out:
        out["auc"] = auc_bootstrap(labels, values, codes, replicates, seed, alpha)
    return out


def share_bootstrap(
    labels: Bool, right: Bool, groups: Int | None, replicates: int, seed: int, alpha: float = 0.05
) -> dict[str, Bootstrapped]:
    """Bootstrap of the share of ``right`` [N] decisions among positives, negatives and all; absent classes left out."""
    masks = {"sensitivity": labels, "specificity": ~labels}
    streams = dict(zip(masks, class_streams(seed), strict=True))
    counts = {
        name: _correct_counts(right, mask, groups, replicates, streams[name])
        for name, mask in masks.items()
        if mask.any()
    }
    out = {
        name: Bootstrapped.of(float(right[masks[name]].mean()), correct / cases, alpha)
        for name, (correct, cases) in counts.items()
    }
    correct, cases = (np.sum(column, axis=0) for column in zip(*counts.values(), strict=True))
    out["accuracy"] = Bootstrapped.of(float(right.mean()), correct / cases, alpha)
    return out


def _correct_counts(
    right: Bool, mask: Bool, groups: Int | None, replicates: int, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Correct cases and cases, float64 [B] each, of ``replicates`` resamples of one class."""
    if replicates < 2:
        raise ConfigError(f"at least 2 replicates are needed, got {replicates}")
    codes, count = clusters_of(mask, groups)
    sizes = np.bincount(codes, minlength=count)
    correct = np.bincount(codes, weights=right[mask], minlength=count).astype(np.int64)
    kinds, kind_of = np.unique(np.stack([correct, sizes], axis=1), axis=0, return_inverse=True)
    # Clusters with equal counts are interchangeable: draw how many of each kind, not which.
    drawn = rng.multinomial(count, np.bincount(kind_of.ravel()) / count, size=replicates)
    return (drawn @ kinds[:, 0]).astype(np.float64), (drawn @ kinds[:, 1]).astype(np.float64)


def auc_bootstrap(
    labels: Bool, values: Float, groups: Int | None, replicates: int, seed: int, alpha: float = 0.05
) -> Bootstrapped:
    """Bootstrap of the AUC; both classes must be there. labels bool [N], values float64 [N], groups codes [N]."""
    if groups is not None:
        return bootstrap_statistics(labels, {"auc": auc_of(labels, values)}, groups, replicates, seed, alpha)["auc"]
    run, runs = ranked_runs(labels, values)
    out = _auc_unclustered(run[labels], run[~labels], runs, replicates, seed)
    return Bootstrapped.of(float(auc_of(labels, values)(np.ones((1, len(labels))))[0]), out, alpha)


def _auc_unclustered(positive_run: Int, negative_run: Int, runs: int, replicates: int, seed: int) -> Float:
    rng_positive, rng_negative = class_streams(seed)
    positive_run, negative_run = np.sort(positive_run), np.sort(negative_run)
    pairs = float(len(positive_run) * len(negative_run))
    step = max(1, CELLS // 4 // max(len(positive_run), len(negative_run), runs))
    out = np.empty(replicates)
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        positives = draw_counts(rng_positive, len(positive_run), positive_run, runs, rows)
        negatives = draw_counts(rng_negative, len(negative_run), negative_run, runs, rows)
        out[start : start + rows] = _doubled_wins(positives, negatives) / (2 * pairs)
    return out


def _doubled_wins(positives: Int, negatives: Int) -> Int:
    """Twice the pairs won plus the pairs tied, int64 [b], from counts by run [b, R]."""
    below = np.cumsum(negatives, axis=1)
    below *= 2
    below -= negatives
    return np.asarray(np.einsum("br,br->b", positives, below))


def bootstrap_statistics(
    labels: Bool,
    statistics: Mapping[str, Statistic],
    groups: Int | None,
    replicates: int,
    seed: int,
    alpha: float = 0.05,
) -> dict[str, Bootstrapped]:
    """Bootstrap of statistics that are functions of case weights; all see the same resamples.

    labels bool [N]; each statistic maps weights float64 [b, N] to values [b] and gives its own value at weights 1.
    """
    columns: dict[str, list[Float]] = {name: [] for name in statistics}
    for block in case_weights(labels, groups, replicates, seed):
        for name, statistic in statistics.items():
            columns[name].append(statistic(block))
    ones = np.ones((1, len(labels)))
    return {
        name: Bootstrapped.of(float(statistics[name](ones)[0]), np.concatenate(parts), alpha)
        for name, parts in columns.items()
    }
