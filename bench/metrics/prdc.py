"""Improved precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020,
arXiv:2002.09797), counted exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import ConfigError
from bench.metrics.arrays import Bool, Float, Float32, Int, features, same_width
from bench.metrics.neighbours import (
    Cloud,
    clouds,
    exact_kth_of,
    exact_squares,
    kth_bounds,
    round_up,
    tiles,
    upper_of,
)

Ties = Literal["lt", "le"]


@dataclass(frozen=True)
class PRDC:
    """The four shares and, for intervals, what each image contributes.

    in_real    bool [M]  synthetic image lies in some real ball            precision = mean
    density_of float [M] real balls around the synthetic image / k         density = mean
    in_synthetic bool [N] real image lies in some synthetic ball           recall = mean
    covered    bool [N]  real image's ball holds a synthetic image         coverage = mean
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    ties: Ties
    in_real: Bool
    density_of: Float
    in_synthetic: Bool
    covered: Bool

    def __getitem__(self, name: str) -> float:
        """``result["precision"]``, as with the dict of the ``prdc`` package."""
        return float(getattr(self, name))


def prdc(real: ArrayLike, synthetic: ArrayLike, k: int = 5, ties: Ties = "lt") -> PRDC:
    """Precision, recall, density, coverage of ``synthetic`` [M, D] given ``real`` [N, D].

    The ball of an image reaches to its k-th nearest neighbour of its own set, itself left out by index (not by
    "distance 0": duplicates are neighbours). A point on the rim is out with ``ties`` "lt" (as in the packages prdc
    and dgm-eval) and in with "le" (as in Kynkäänniemi's code and torch-fidelity). Memory: some tens of MB beside a
    float32 copy of the features. Raises :class:`UndefinedMetric` with k or fewer rows, :class:`DataError` on NaN.
    """
    if k < 1 or ties not in ("lt", "le"):
        raise ConfigError(f"k must be at least 1 and ties 'lt' or 'le', got {k} and {ties!r}")
    x, y = features(real, "real", least=k + 1), features(synthetic, "synthetic", least=k + 1)
    same_width(real=x, synthetic=y)
    cloud_x, cloud_y = clouds(x, y)
    balls_x, balls_y = _Balls(cloud_x, k, ties), _Balls(cloud_y, k, ties)
    around_y, covered = np.zeros(len(y), dtype=np.int64), np.zeros(len(x), dtype=bool)
    in_synthetic = np.zeros(len(x), dtype=bool)
    for row, column, lower in tiles(cloud_x, cloud_y):
        i, j = balls_x.inside(lower, row, column, cloud_y, axis=0)
        around_y += np.bincount(j, minlength=len(y))
        covered[i] = True
        i, _ = balls_y.inside(lower, row, column, cloud_x, axis=1)
        in_synthetic[i] = True
    in_real, density_of = around_y > 0, around_y / k
    return PRDC(
        float(in_real.mean()),
        float(in_synthetic.mean()),
        float(around_y.sum() / (k * len(y))),
        float(covered.mean()),
        k,
        ties,
        in_real,
        density_of,
        in_synthetic,
        covered,
    )


class _Balls:
    """The balls of one cloud, with radii bounded by products and made exact where a decision needs it."""

    def __init__(self, cloud: Cloud, k: int, ties: Ties) -> None:
        self.cloud, self.k, self.ties = cloud, k, ties
        self.kth = kth_bounds(cloud, k)
        self.low, self.high = self.kth.low, round_up(self.kth.high)
        self._exact = np.full(len(cloud), np.nan)

    def inside(self, lower: Float32, row: int, column: int, other: Cloud, axis: int) -> tuple[Int, Int]:
        """Pairs (row, column) of the whole matrix whose point lies in the ball of the row (axis 0) or column (axis 1).

        ``lower`` [b, c]: lower bounds of rows from ``row`` and columns from ``column``.
        """
        height, width = lower.shape
        rim = self.high[row : row + height, None] if axis == 0 else self.high[column : column + width]
        near = np.flatnonzero(lower <= rim)
        bound = lower.ravel()[near].astype(np.float64)
        i, j = np.divmod(near, width)
        i, j = i + row, j + column
        ball, point = (i, j) if axis == 0 else (j, i)
        sure = upper_of(bound, self.cloud, other, ball, point) < self.low[ball]
        open_ = np.flatnonzero(~sure)
        sure[open_] = self._decide(ball[open_], point[open_], other)
        return i[sure], j[sure]

    def _decide(self, ball: Int, point: Int, other: Cloud) -> Bool:
        rows = np.unique(ball)
        missing = rows[np.isnan(self._exact[rows])]
        if len(missing):
            self._exact[missing] = exact_kth_of(self.cloud, self.kth, missing)
        squares = exact_squares(self.cloud, other, ball, point)
        radius = self._exact[ball]
        return squares < radius if self.ties == "lt" else squares <= radius
