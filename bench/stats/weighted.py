"""Statistics as functions of case weights, for the bootstrap: weights float64 [b, N] -> values [b].

Weights are whole numbers, so their sums are exact and a statistic of sums does not depend on how they were taken.
"""

from __future__ import annotations

import numpy as np

from bench.stats.calibration import bin_index
from bench.stats.checks import Bool, Float, Int
from bench.stats.resample import Statistic


def mean_of(terms: Float) -> Statistic:
    """Weighted mean of ``terms`` [N]."""
    return lambda w: np.asarray(w @ terms / w.sum(axis=1))


def auc_of(labels: Bool, score: Float) -> Statistic:
    """Weighted AUC, ties half; both classes must have weight."""
    positives, negatives = _Falling(labels, score), _Falling(~labels, score)
    levels = np.unique(score[labels])[::-1]
    down_to, above, tied = positives.down_to(levels), negatives.above(levels), negatives.down_to(levels)

    def statistic(w: Float) -> Float:
        gained = np.diff(positives.sums(w)[:, down_to], prepend=0.0, axis=1)
        lost = negatives.sums(w)
        won = 2 * lost[:, -1:] - lost[:, above] - lost[:, tied]  # twice the negatives that each positive beats
        return np.asarray(np.einsum("bl,bl->b", gained, won) / (2 * gained.sum(axis=1) * lost[:, -1]))

    return statistic


def average_precision_of(labels: Bool, score: Float) -> Statistic:
    """Weighted average precision; both classes must have weight."""
    positives, negatives = _Falling(labels, score), _Falling(~labels, score)
    levels = np.unique(score[labels])[::-1]  # elsewhere nothing is gained
    down_to, beside = positives.down_to(levels), negatives.down_to(levels)

    def statistic(w: Float) -> Float:
        true = positives.sums(w)[:, down_to]
        seen = true + negatives.sums(w)[:, beside]
        precision = np.divide(true, seen, out=np.zeros_like(true), where=seen > 0)
        return np.asarray(np.einsum("bl,bl->b", np.diff(true, prepend=0.0, axis=1), precision) / true[:, -1])

    return statistic


def partial_auc_of(labels: Bool, score: Float, min_tpr: float = 0.8) -> Statistic:
    """Weighted area between the ROC curve and TPR = ``min_tpr``; each segment is cut where it crosses the line."""
    positives, negatives = _Falling(labels, score), _Falling(~labels, score)
    run, runs = ranked_runs(labels, score)
    corners = np.full(runs, np.inf)
    np.minimum.at(corners, run, score)
    down_to, beside = positives.down_to(corners[::-1]), negatives.down_to(corners[::-1])

    def statistic(w: Float) -> Float:
        true, false = positives.sums(w)[:, down_to], negatives.sums(w)[:, beside]
        tpr = _with_origin(true / true[:, -1:])
        width = np.diff(_with_origin(false / false[:, -1:]), axis=1)
        start, end = tpr[:, :-1] - min_tpr, tpr[:, 1:] - min_tpr
        rise = np.where(end > start, end - start, 1.0)
        share = np.where(start >= 0, 1.0, np.clip(end / rise, 0.0, 1.0))  # of the segment that lies above the line
        height = (np.maximum(start, 0.0) + np.maximum(end, 0.0)) / 2
        return np.asarray(np.einsum("bl,bl,bl->b", width, share, height))

    return statistic


def calibration_error_of(labels: Bool, probability: Float, bins: int = 15) -> Statistic:
    """Weighted expected calibration error on equal-width bins."""
    member = np.equal.outer(bin_index(probability, bins), np.arange(bins)).astype(np.float64)
    gap = member * (labels - probability)[:, None]
    return lambda w: np.asarray(np.abs(w @ gap).sum(axis=1) / w.sum(axis=1))


def ranked_runs(labels: Bool, values: Float) -> tuple[Int, int]:
    """Position 0..R-1 of each case in the ranking, int64 [N], after joining what a ROC curve cannot tell apart.

    Neighbouring scores of one class form one run; a score shared by both classes is a run of its own.
    """
    _, level = np.unique(values, return_inverse=True)
    levels = int(level.max()) + 1
    positive = np.bincount(level[labels], minlength=levels) > 0
    negative = np.bincount(level[~labels], minlength=levels) > 0
    mixed = positive & negative
    starts = np.ones(levels, dtype=bool)
    starts[1:] = mixed[1:] | mixed[:-1] | (positive[1:] != positive[:-1])
    run_of_level = np.cumsum(starts) - 1
    return run_of_level[level], int(run_of_level[-1]) + 1


class _Falling:
    """The cases of ``mask`` [N] by falling score."""

    def __init__(self, mask: Bool, score: Float) -> None:
        cases = np.flatnonzero(mask)
        self.order = cases[np.argsort(-score[cases], kind="stable")]
        self.negated = -score[self.order]

    def down_to(self, levels: Float) -> Int:
        """How many have at least each score of ``levels`` [L]: int64 [L]."""
        return np.searchsorted(self.negated, -levels, side="right")

    def above(self, levels: Float) -> Int:
        """How many have more."""
        return np.searchsorted(self.negated, -levels, side="left")

    def sums(self, w: Float) -> Float:
        """Weight of the first 0, 1, ... of them: w [b, N] -> [b, cases + 1]."""
        sums = np.zeros((len(w), len(self.order) + 1))
        np.cumsum(w[:, self.order], axis=1, out=sums[:, 1:])
        return sums


def _with_origin(rates: Float) -> Float:
    return np.concatenate([np.zeros((len(rates), 1)), rates], axis=1)
