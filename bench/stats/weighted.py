"""Statistics as functions of case weights, for the bootstrap: weights float64 [b, N] -> values [b]."""

from __future__ import annotations

import numpy as np

from bench.stats.bootstrap import Statistic
from bench.stats.calibration import bin_index
from bench.stats.checks import Bool, Float


def mean_of(terms: Float) -> Statistic:
    """Weighted mean of ``terms`` [N]."""
    return lambda w: np.asarray(w @ terms / w.sum(axis=1))


def average_precision_of(labels: Bool, score: Float) -> Statistic:
    """Weighted average precision; both classes must have weight."""
    at = _Levels(labels, score)

    def statistic(w: Float) -> Float:
        gained, true, false = at.counts(w)
        seen = true + false
        precision = np.divide(true, seen, out=np.zeros_like(true), where=seen > 0)
        return np.asarray(np.einsum("bl,bl->b", gained, precision) / true[:, -1])

    return statistic


def partial_auc_of(labels: Bool, score: Float, min_tpr: float = 0.8) -> Statistic:
    """Weighted area between the ROC curve and TPR = ``min_tpr``; each segment is cut where it crosses the line."""
    at = _Levels(labels, score)

    def statistic(w: Float) -> Float:
        _, true, false = at.counts(w)
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


class _Levels:
    """Cases sorted by falling score, ready to be summed level by level."""

    def __init__(self, labels: Bool, score: Float) -> None:
        self.order = np.argsort(-score, kind="stable")
        self.starts = np.unique(-score[self.order], return_index=True)[1]
        self.positive = labels[self.order].astype(np.float64)

    def counts(self, w: Float) -> tuple[Float, Float, Float]:
        """Positives at each level [b, L], and true and false positives down to it [b, L]."""
        sorted_w = w[:, self.order]
        gained = np.add.reduceat(sorted_w * self.positive, self.starts, axis=1)
        everything = np.add.reduceat(sorted_w, self.starts, axis=1)
        true = np.cumsum(gained, axis=1)
        return gained, true, np.cumsum(everything, axis=1) - true


def _with_origin(rates: Float) -> Float:
    return np.concatenate([np.zeros((len(rates), 1)), rates], axis=1)
