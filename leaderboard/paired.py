"""The difference of two rows on the same test images, and its error over lesions and over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Part = tuple[float, int]  # a variance and its degrees of freedom
ALPHA = 0.05


@dataclass(frozen=True)
class Measured:
    """AUC of a row: ``per_seed`` at the full test set, ``by_case`` [B] the mean over seeds on resampled test sets.

    ``lent``: (variance between seeds, degrees of freedom) of other rows, which a row with one seed has to borrow.
    """

    per_seed: dict[int, float]
    by_case: Float
    lent: tuple[float, int] = (0.0, 0)

    @property
    def value(self) -> float:
        return float(np.mean(list(self.per_seed.values())))

    @property
    def seed_part(self) -> Part:
        """Variance of the mean that comes from the choice of seeds, with its degrees of freedom."""
        return self.lent if len(self.per_seed) == 1 else _part(list(self.per_seed.values()))

    def interval(self) -> tuple[float, float]:
        """95 % limits: normal on both parts of the error, t with few seeds, within [0, 1]."""
        case = float(np.var(self.by_case, ddof=1))
        half = _t_quantile(1 - ALPHA / 2, case, [self.seed_part]) * math.sqrt(case + self.seed_part[0])
        return max(0.0, self.value - half), min(1.0, self.value + half)


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
class Difference:
    """Row a minus row b: value, standard error, two-sided p of no difference."""

    value: float
    se: float
    p: float


def difference(a: Measured, b: Measured) -> Difference:
    """a minus b with its standard error over lesions and seeds.

    p is normal where the error is all between lesions, Welch-Satterthwaite t where seeds contribute: bootstrap
    quantiles cannot give the small p-values that Holm's correction over all pairs of a board needs.
    """
    value = a.value - b.value
    case = float(np.var(a.by_case - b.by_case, ddof=1))
    if a.per_seed.keys() == b.per_seed.keys() and len(a.per_seed) > 1:
        parts = [_part([a.per_seed[seed] - b.per_seed[seed] for seed in a.per_seed])]
    else:
        parts = [a.seed_part, b.seed_part]
    se = math.sqrt(case + sum(variance for variance, _ in parts))
    if se < 1e-12:
        return Difference(value, 0.0, 1.0 if abs(value) < 1e-12 else 0.0)
    return Difference(value, se, _two_sided(abs(value) / se, _freedom(case, parts)))


def _part(values: Sequence[float]) -> Part:
    return float(np.var(values, ddof=1)) / len(values), len(values) - 1


def _freedom(case: float, parts: Sequence[Part]) -> float:
    """Degrees of freedom of a sum of variances (Satterthwaite 1946); those between lesions count as known."""
    total = case + sum(variance for variance, _ in parts)
    spread = sum(variance**2 / freedom for variance, freedom in parts if variance > 0)
    return total**2 / spread if spread > 0 else math.inf


def _two_sided(t: float, freedom: float) -> float:
    if math.isinf(freedom):
        return math.erfc(t / math.sqrt(2))
    from scipy.special import stdtr

    return min(1.0, 2 * float(stdtr(freedom, -t)))


def _t_quantile(p: float, case: float, parts: Sequence[Part]) -> float:
    from bench.stats.checks import normal_quantile

    freedom = _freedom(case, parts)
    if math.isinf(freedom):
        return normal_quantile(p)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, p))
