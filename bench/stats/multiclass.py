"""AUC of several classes: each against the rest, and their mean with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import DataError, UndefinedMetric
from bench.stats.checks import Float, Int, group_codes, normal_quantile
from bench.stats.roc import structural_components


@dataclass(frozen=True)
class MacroAUC:
    """Unweighted mean of the one-vs-rest AUCs ``by_class`` [K], limits on the logit scale, standard errors.

    ``clustered_se``: with the cases of a group as one draw; None without two groups.
    """

    value: float
    low: float
    high: float
    se: float
    clustered_se: float | None
    by_class: Float


def macro_auc(y: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None, alpha: float = 0.05) -> MacroAUC:
    """Mean one-vs-rest AUC of scores [N, K] for labels ``y`` int [N] in 0..K-1, every class with two cases or more.

    The AUCs share their cases. So each case's influence on the mean is summed over the classes first (DeLong's
    components, DeLong et al. 1988), and the variance taken of that, within the true classes. For K = 2 with scores p
    and 1 - p this is DeLong's variance. Raises :class:`UndefinedMetric` where a class has fewer than two cases.
    """
    labels, values = np.asarray(y, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or len(values) != len(labels) or values.shape[1] < 2:
        raise DataError(f"scores must be [cases, classes], got {values.shape} for {len(labels)} labels")
    if not np.isfinite(values).all():
        raise DataError(f"scores are not finite in row {int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])}")
    classes = values.shape[1]
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}")
    counts = np.bincount(labels, minlength=classes)
    if counts.min() < 2:
        raise UndefinedMetric(
            f"undefined, because class {int(counts.argmin())} has {counts.min()} cases and 2 are needed"
        )
    areas, influence = _influences(labels, values)
    within = [len(own) / (len(own) - 1) * np.sum((own - own.mean()) ** 2) for own in _by(labels, influence)]
    se, mean = float(np.sqrt(np.sum(within))), float(areas.mean())
    codes = group_codes(groups, len(labels))
    low, high = logit_limits(mean, se, normal_quantile(1 - alpha / 2))
    return MacroAUC(mean, low, high, se, None if codes is None else _clustered(codes, influence), areas)


def _influences(labels: Int, values: Float) -> tuple[Float, Float]:
    """AUC of each class [K], and of each case its influence on their mean [N]: the sum over all cases is 0."""
    areas, influence = np.empty(values.shape[1]), np.zeros(len(labels))
    for k in range(values.shape[1]):
        own = labels == k
        v10, v01 = structural_components(own, values[:, k])
        areas[k] = v10.mean()
        influence[own] += (v10 - areas[k]) / own.sum()
        influence[~own] += (v01 - areas[k]) / (~own).sum()
    return areas, influence / values.shape[1]


def _by(codes: Int, values: Float) -> list[Float]:
    return [values[codes == c] for c in np.unique(codes)]


def _clustered(codes: Int, influence: Float) -> float | None:
    sums = np.bincount(codes, weights=influence)
    clusters = len(sums)
    return float(np.sqrt(clusters / (clusters - 1) * np.sum(sums**2))) if clusters > 1 else None


def logit_limits(area: float, se: float, z: float) -> tuple[float, float]:
    """Limits of an area in (0, 1) that stay there; the area itself where it is 0 or 1."""
    if not 0 < area < 1:
        return area, area
    centre, half = math.log(area / (1 - area)), z * se / (area * (1 - area))
    return 1 / (1 + math.exp(-(centre - half))), 1 / (1 + math.exp(-(centre + half)))
