"""Rank statistics of a score: AUC, DeLong's variance, partial AUC, operating points.

A case is called positive when its score is at least the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import ConfigError, UndefinedMetric
from bench.stats.checks import Bool, Float, Int, normal_quantile, two_classes


def midranks(values: Float) -> Float:
    """Ranks 1..N of ``values`` [N], ties sharing their mean rank; O(N log N)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: Float = last - (counts - 1) / 2
    return mean_rank[inverse]


def auc(y: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative) + half the ties.

    y 0/1 [N], score [N]. Raises :class:`UndefinedMetric` when only one class is there.
    """
    labels, values = two_classes(y, score)
    positives = int(labels.sum())
    doubled = 2 * midranks(values)[labels].sum() - positives * (positives + 1)  # an integer: exact in float64
    return float(doubled / (2 * positives * (len(labels) - positives)))


@dataclass(frozen=True)
class AUC:
    """An AUC with DeLong's variance; ``low``, ``high``: Wald limits clipped to [0, 1]; ``logit_*``: on the logit scale.

    The logit limits equal the Wald limits where the logit does not exist (AUC 0 or 1) or the variance is 0.
    """

    auc: float
    variance: float
    low: float
    high: float
    logit_low: float
    logit_high: float

    @property
    def se(self) -> float:
        return math.sqrt(self.variance)


class PairedAUC(NamedTuple):
    """Difference a - b of two AUCs on the same cases; two-sided ``p`` of no difference."""

    difference: float
    variance: float
    z: float
    p: float
    low: float
    high: float


def delong(y: ArrayLike, score: ArrayLike, alpha: float = 0.05) -> AUC:
    """AUC with its nonparametric variance (DeLong et al. 1988, Biometrics 44:837; midranks as in Sun & Xu 2014).

    y 0/1 [N], score [N]; O(N log N). Raises :class:`UndefinedMetric` with fewer than two cases of a class.
    """
    labels, values = two_classes(y, score)
    area = auc(labels, values)
    v10, v01 = structural_components(labels, values)
    variance = float(np.var(v10, ddof=1) / len(v10) + np.var(v01, ddof=1) / len(v01))
    z = normal_quantile(1 - alpha / 2)
    low, high = max(0.0, area - z * math.sqrt(variance)), min(1.0, area + z * math.sqrt(variance))
    return AUC(area, variance, low, high, *_logit_limits(area, variance, z, low, high))


def delong_paired(y: ArrayLike, a: ArrayLike, b: ArrayLike, alpha: float = 0.05) -> PairedAUC:
    """AUC of ``a`` minus AUC of ``b`` on the same cases (DeLong et al. 1988, equation 5).

    y 0/1 [N], a and b [N]. Scores that rank all pairs alike give difference 0, p = 1 and a point interval.
    """
    labels, first = two_classes(y, a)
    _, second = two_classes(y, b)
    difference = auc(labels, first) - auc(labels, second)
    components = zip(structural_components(labels, first), structural_components(labels, second), strict=True)
    variance = float(sum(np.var(u - v, ddof=1) / len(u) for u, v in components))
    se = math.sqrt(variance)
    z = difference / se if se else math.copysign(math.inf, difference) if difference else 0.0
    p = math.erfc(abs(z) / math.sqrt(2))
    half = normal_quantile(1 - alpha / 2) * se
    return PairedAUC(difference, variance, z, p, difference - half, difference + half)


def structural_components(labels: Bool, values: Float) -> tuple[Float, Float]:
    """DeLong's V10 [P] of the positives and V01 [N] of the negatives: each case's share of the other class it beats."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    for count, name in ((positives, "positive"), (negatives, "negative")):
        if count < 2:
            raise UndefinedMetric(f"undefined, because a variance needs two {name} cases and there is {count}")
    ranks = midranks(values)
    v10 = (ranks[labels] - midranks(values[labels])) / negatives
    v01 = 1 - (ranks[~labels] - midranks(values[~labels])) / positives
    return v10, v01


def _logit_limits(area: float, variance: float, z: float, low: float, high: float) -> tuple[float, float]:
    if variance == 0 or not 0 < area < 1:
        return low, high
    centre = math.log(area / (1 - area))
    half = z * math.sqrt(variance) / (area * (1 - area))
    return 1 / (1 + math.exp(-(centre - half))), 1 / (1 + math.exp(-(centre + half)))


class ROC(NamedTuple):
    """Points of the ROC curve by falling threshold: the first is (0, 0) at +inf, the last (1, 1)."""

    fpr: Float
    tpr: Float
    thresholds: Float


def roc_curve(y: ArrayLike, score: ArrayLike) -> ROC:
    """One point a distinct score; false and true positive rates float64 [G + 1], thresholds [G + 1]."""
    labels, values = two_classes(y, score)
    true, false, cuts = cumulative_counts(labels, values)
    return ROC(
        np.concatenate([[0.0], false / false[-1]]),
        np.concatenate([[0.0], true / true[-1]]),
        np.concatenate([[np.inf], cuts]),
    )


def cumulative_counts(labels: Bool, values: Float) -> tuple[Int, Int, Float]:
    """True and false positives int64 [G] at each distinct score float64 [G], from the highest to the lowest."""
    cuts, inverse = np.unique(values, return_inverse=True)
    true = np.bincount(inverse[labels], minlength=len(cuts))[::-1].cumsum()
    false = np.bincount(inverse[~labels], minlength=len(cuts))[::-1].cumsum()
    return true, false, cuts[::-1]


def partial_auc(y: ArrayLike, score: ArrayLike, min_tpr: float = 0.8) -> float:
    """Area between the ROC curve and the line TPR = ``min_tpr``, in [0, 1 - min_tpr] (the score of ISIC 2024)."""
    _share(min_tpr, "min_tpr")
    curve = roc_curve(y, score)
    above = np.maximum(curve.tpr, min_tpr) - min_tpr
    area = np.sum(np.diff(curve.fpr) * (above[1:] + above[:-1]) / 2)
    return float(area + _corner(curve, min_tpr))


def _corner(curve: ROC, level: float) -> float:
    """What trapezoids of the clipped curve miss (or add) on the one segment that crosses ``level``."""
    i = int(np.searchsorted(curve.tpr, level, side="right"))
    if i == 0 or i >= len(curve.tpr) or curve.tpr[i - 1] >= level:
        return 0.0
    width, rise = curve.fpr[i] - curve.fpr[i - 1], curve.tpr[i] - curve.tpr[i - 1]
    above = curve.tpr[i] - level
    return float(width * above * above / rise / 2 - width * above / 2)


def specificity_at_sensitivity(y: ArrayLike, score: ArrayLike, target: float = 0.95) -> float:
    """Highest specificity among the cuts whose sensitivity is at least ``target``, a property of this ROC curve.

    The cut is chosen on the cases it is judged on: for an operating result fit :func:`sensitivity_threshold` elsewhere.
    """
    _share(target, "target")
    curve = roc_curve(y, score)
    return float(1 - curve.fpr[np.flatnonzero(curve.tpr >= target - 1e-12)[0]])


def youden_threshold(y: ArrayLike, score: ArrayLike) -> float:
    """The cut with the largest sensitivity + specificity - 1 (Youden 1950); the highest such cut on ties.

    A cut lies midway between two neighbouring scores, so that a rounding of scores does not move a case over it.
    """
    labels, values = two_classes(y, score)
    true, false, cuts = cumulative_counts(labels, values)
    # Cross-multiplied, so that equal indices are equal integers and not two roundings apart.
    return _midway(cuts, int(np.argmax(true * int(false[-1]) - false * int(true[-1]))))


def sensitivity_threshold(y: ArrayLike, score: ArrayLike, target: float) -> float:
    """The highest cut whose sensitivity on these cases is at least ``target`` in (0, 1]."""
    _share(target, "target")
    labels, values = two_classes(y, score)
    true, _, cuts = cumulative_counts(labels, values)
    return _midway(cuts, int(np.flatnonzero(true >= target * int(true[-1]) - 1e-9)[0]))


def _midway(cuts: Float, index: int) -> float:
    if index + 1 == len(cuts):
        return float(cuts[index])
    middle = float((cuts[index] + cuts[index + 1]) / 2)
    return middle if middle > cuts[index + 1] else float(cuts[index])


def average_precision(y: ArrayLike, score: ArrayLike) -> float:
    """Sum over recall steps of the precision at the step, not the trapezoid area; the prevalence for equal scores."""
    labels, values = two_classes(y, score)
    true, false, _ = cumulative_counts(labels, values)
    gained = np.diff(true, prepend=0)
    return float(np.sum(gained * (true / (true + false))) / true[-1])


def _share(value: float, name: str) -> None:
    if not 0 < value <= 1:
        raise ConfigError(f"{name} must lie in (0, 1], got {value}")
