"""Differences between rows on the same test images, and their error over lesions and over seeds.

The error between lesions is that of a bootstrap over lesions within class, in its closed form: each lesion has an
influence on the AUC (DeLong's structural components, summed by lesion), and the variance is the sum of their squares
(DeLong et al. 1988, Biometrics 44:837; Obuchowski 1997, Biometrics 53:567). With one photograph a lesion this is
DeLong's variance to the last digit. The covariances of all pairs of rows are one matrix product, without replicates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Part = tuple[float, int]  # a variance and its degrees of freedom
ALPHA = 0.05
NO_VARIANCE = 1e-20  # below this a difference is rounding: AUCs of equal rankings


@dataclass(frozen=True)
class Measured:
    """AUC of a row: ``per_seed`` at the full test set; ``influence`` [G] of each lesion on the mean over seeds.

    ``lent``: (variance between seeds, degrees of freedom) of other rows, which a row with one seed has to borrow.
    """

    per_seed: dict[int, float]
    influence: Float
    lent: Part = (0.0, 0)

    @property
    def value(self) -> float:
        return float(np.mean(list(self.per_seed.values())))

    @property
    def case_variance(self) -> float:
        """Variance of the value over the choice of test lesions."""
        return float(self.influence @ self.influence)

    @property
    def seed_part(self) -> Part:
        """Variance of the mean that comes from the choice of seeds, with its degrees of freedom."""
        return self.lent if len(self.per_seed) == 1 else _part(list(self.per_seed.values()))

    def interval(self) -> tuple[float, float]:
        """95 % limits: normal on both parts of the error, t with few seeds, within [0, 1]."""
        from bench.stats.checks import t_quantile

        case, (variance, freedom) = self.case_variance, self.seed_part
        half = t_quantile(1 - ALPHA / 2, _freedom(case, variance, freedom)) * math.sqrt(case + variance)
        return max(0.0, self.value - half), min(1.0, self.value + half)


def influence(labels: NDArray[np.bool_], codes: NDArray[np.int64], score: Float) -> tuple[float, Float]:
    """AUC and each lesion's influence on it [G]: labels bool [N], lesion codes int64 [N], score float64 [N].

    A lesion counts once in each class it has cases of. The sum of squares is the variance of the AUC over lesions,
    with G / (G - 1) for each class. Raises :class:`UndefinedMetric` with fewer than two cases of a class.
    """
    from bench.stats.roc import structural_components

    parts: list[Float] = []
    areas: list[float] = []
    for mask, component in zip((labels, ~labels), structural_components(labels, score), strict=True):
        _, lesion = np.unique(codes[mask], return_inverse=True)
        area = float(component.mean())
        total = np.bincount(lesion.ravel(), weights=component - area) / len(component)
        parts.append(total * math.sqrt(len(total) / max(1, len(total) - 1)))
        areas.append(area)
    return areas[0], np.concatenate(parts)


def lend(rows: Mapping[int, Measured]) -> dict[int, Measured]:
    """Rows with one seed get the variance between seeds, pooled over the rows that have several.

    Without it one lucky training would look like a better method: at n = 1,512 with one seed, a quarter of pairs of
    equal methods whose trainings differ by an SD of 1.7 points of AUC are separated wrongly.
    """
    spreads = [list(m.per_seed.values()) for m in rows.values() if len(m.per_seed) > 1]
    freedom = sum(len(values) - 1 for values in spreads)
    if not freedom:
        return dict(rows)
    pooled = sum(float(np.var(values, ddof=1)) * (len(values) - 1) for values in spreads) / freedom
    return {i: m if len(m.per_seed) > 1 else replace(m, lent=(pooled, freedom)) for i, m in rows.items()}


@dataclass(frozen=True)
class Differences:
    """All pairs of R rows, float64 [R, R] each: row i minus row j, its standard error, two-sided p of no difference."""

    value: Float
    se: Float
    p: Float

    def upper(self, table: Float) -> Float:
        """``table`` above its diagonal, every pair once [R (R - 1) / 2]."""
        return np.asarray(table[np.triu_indices(len(table), 1)])


@dataclass(frozen=True)
class Difference:
    """Row a minus row b: value, standard error, two-sided p of no difference."""

    value: float
    se: float
    p: float


def difference(a: Measured, b: Measured) -> Difference:
    """a minus b with its standard error over lesions and seeds."""
    found = differences([a, b])
    return Difference(float(found.value[0, 1]), float(found.se[0, 1]), float(found.p[0, 1]))


def differences(rows: Sequence[Measured]) -> Differences:
    """Every row minus every other, with the standard error over lesions and seeds.

    p is normal where the error is all between lesions, Welch-Satterthwaite t where seeds contribute: bootstrap
    quantiles cannot give the small p-values that Holm's correction over all pairs of a board needs.
    """
    values = np.array([m.value for m in rows])
    value = values[:, None] - values[None, :]
    case = _squared_distances(np.stack([m.influence for m in rows]))
    seed, spread = _seed_parts(rows)
    total = case + seed
    certain = total < NO_VARIANCE
    se = np.where(certain, 0.0, np.sqrt(np.where(certain, 0.0, total)))
    t = np.divide(np.abs(value), se, out=np.zeros_like(value), where=~certain)
    p = _two_sided(t, np.divide(total**2, spread, out=np.full_like(total, np.inf), where=spread > 0))
    return Differences(value, se, np.where(certain, np.where(np.abs(value) < 1e-12, 1.0, 0.0), p))


def _squared_distances(points: Float) -> Float:
    """|x_i - x_j|^2 of the rows of ``points`` [R, G], as float64 [R, R]; centred first against cancellation."""
    centred = points - points.mean(axis=0)
    gram = centred @ centred.T
    squares = np.diagonal(gram)
    return np.asarray(np.maximum(squares[:, None] + squares[None, :] - 2 * gram, 0.0))


def _seed_parts(rows: Sequence[Measured]) -> tuple[Float, Float]:
    """(variance between seeds, its Satterthwaite term: the sum of variance^2 / freedom), float64 [R, R] each.

    Rows with the same seeds are paired: what a seed does to both cancels.
    """
    own = np.array([m.seed_part[0] for m in rows])
    terms = np.array([v * v / f if v > 0 else 0.0 for v, f in (m.seed_part for m in rows)])
    variance, spread = own[:, None] + own[None, :], terms[:, None] + terms[None, :]
    together: dict[tuple[int, ...], list[int]] = {}
    for i, m in enumerate(rows):
        together.setdefault(tuple(sorted(m.per_seed)), []).append(i)
    for seeds, members in together.items():
        k = len(seeds)
        if k < 2:
            continue
        by_seed = np.array([[rows[i].per_seed[seed] for seed in seeds] for i in members])
        paired = _squared_distances(by_seed - by_seed.mean(axis=1, keepdims=True)) / (k - 1) / k
        block = np.ix_(members, members)
        variance[block], spread[block] = paired, paired**2 / (k - 1)
    for table in (variance, spread):
        np.fill_diagonal(table, 0.0)  # a row does not differ from itself, however many seeds it has
    return variance, spread


def _part(values: Sequence[float]) -> Part:
    return float(np.var(values, ddof=1)) / len(values), len(values) - 1


def _freedom(case: float, variance: float, freedom: int) -> float:
    """Degrees of freedom of a sum of variances (Satterthwaite 1946); those between lesions count as known."""
    return (case + variance) ** 2 * freedom / variance**2 if variance > 0 else math.inf


def _two_sided(t: Float, freedom: Float) -> Float:
    """Two-sided p of t values [R, R], each with its own degrees of freedom; normal where they are infinite."""
    from scipy.special import ndtr, stdtr

    p = np.asarray(2 * ndtr(-t), dtype=np.float64)
    finite = np.triu(np.isfinite(freedom))
    p[finite] = 2 * stdtr(freedom[finite], -t[finite])
    mirrored = finite.T
    p[mirrored] = p.T[mirrored]
    return np.minimum(p, 1.0)
