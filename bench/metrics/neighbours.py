"""Exact nearest neighbours by fast approximate products.

Squared distances come from float32 matrix products of centred features with a rigorous error bound; whatever the
bound leaves open is decided by float64 differences of the original features. So results are those of exact
arithmetic to float64 rounding, do not depend on block size or row order, and ties are ties.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.metrics.arrays import Features, Float, Float32, Int

CELLS = 1 << 22  # distances held at once: 16 MB of float32
UNIT = 2.0**-24  # rounding unit of float32


class Block(NamedTuple):
    """Rows start.. of the matrix of squared distances: ``lower`` float32 [b, m] never exceeds the truth."""

    start: int
    lower: Float32


@dataclass(frozen=True)
class Cloud:
    """Points made ready for products.

    points  [N, D] the features as given; exact differences are taken of these
    scaled  float32 [N, D] centred and scaled so that no product overflows
    norms   float64 [N] squared lengths of ``scaled``
    scale   lengths are in units of this; a power of two, so that scaling rounds nothing
    """

    points: Features
    scaled: Float32
    norms: Float
    scale: float

    def __len__(self) -> int:
        return len(self.points)

    @property
    def slack(self) -> float:
        """c with |approximate - exact| <= c (|x|² + |y|²) for squared distances of this width."""
        # Dot product D u / (1 - D u), rounding of both centred vectors 4 u, of the sums 5 u; Higham 2002, section 3.1.
        products = self.scaled.shape[1] * UNIT
        return float(products / (1 - products) + 16 * UNIT)


def clouds(*sets: Features) -> list[Cloud]:
    """Clouds with a common centre and scale. A common centre changes no distance and saves float32 its digits."""
    rows = sum(len(s) for s in sets)
    centre = np.sum([s.sum(axis=0, dtype=np.float64) for s in sets], axis=0) / rows
    widest = max(float(np.sqrt(_largest(s, centre))) for s in sets)
    scale = float(2.0 ** np.ceil(np.log2(widest))) if widest > 0 else 1.0
    return [_cloud(s, centre, scale) for s in sets]


def _cloud(points: Features, centre: Float, scale: float) -> Cloud:
    scaled = np.empty(points.shape, dtype=np.float32)
    norms = np.empty(len(points))
    for start in range(0, len(points), 1024):
        part = slice(start, start + 1024)
        scaled[part] = (points[part] - centre) / scale
        wide = scaled[part].astype(np.float64)
        norms[part] = np.einsum("nd,nd->n", wide, wide)
    return Cloud(points, scaled, norms, scale)


def _largest(points: Features, centre: Float) -> float:
    return max(float(np.max(np.square(points[s : s + 1024] - centre).sum(axis=1))) for s in range(0, len(points), 1024))


def lower_bounds(x: Cloud, y: Cloud) -> Iterator[Block]:
    """Blocks of lower bounds of the squared distances (in units of scale²) of x [n] and y [m].

    The upper bound of a pair is lower + 2 slack (|x|² + |y|²) + 2 tiny.
    """
    keep = 1 - x.slack
    columns = (keep * y.norms - TINY).astype(np.float32)
    step = max(1, CELLS // len(y))
    for start in range(0, len(x), step):
        lower = x.scaled[start : start + step] @ y.scaled.T
        lower *= -2
        lower += columns
        lower += (keep * x.norms[start : start + step, None]).astype(np.float32)
        yield Block(start, lower)


TINY = 1e-30  # covers what underflows in float32 once the longest vector has length <= 1


def upper_of(lower: Float, x: Cloud, y: Cloud, i: Int, j: Int) -> Float:
    """Upper bounds [P] of the squared distances of pairs (i, j) from their lower bounds [P]."""
    return lower + 2 * x.slack * (x.norms[i] + y.norms[j]) + 4 * TINY


def exact_squares(x: Cloud, y: Cloud, i: Int, j: Int) -> Float:
    """Squared distances float64 [P] of pairs (i, j), in the unit of the features, by differences; symmetric."""
    out = np.empty(len(i))
    step = max(1, (1 << 20) // x.points.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        difference = x.points[i[part]].astype(np.float64) - y.points[j[part]]
        np.square(difference, out=difference)
        out[part] = difference.sum(axis=1)
    return out


class Candidates(NamedTuple):
    """For each row the pairs that can be among its k nearest: ``starts`` [n + 1] into ``columns``; bounds of the k-th.

    low, high: float64 [n], bounds of the k-th smallest squared distance in units of scale².
    """

    starts: Int
    columns: Int
    low: Float
    high: Float


def candidates(x: Cloud, y: Cloud, k: int, same: bool) -> Candidates:
    """Pairs that can be among the ``k`` nearest y of each x; with ``same`` a point is not its own neighbour."""
    lengths, columns, low, high = [], [], [], []
    for start, lower in lower_bounds(x, y):
        rows = np.arange(len(lower))
        if same:
            lower[rows, start + rows] = np.inf
        kth = np.partition(lower, k - 1, axis=1)[:, k - 1]
        near, other = np.nonzero(lower <= kth[:, None])
        above = upper_of(lower[near, other].astype(np.float64), x, y, start + near, other)
        limit = np.maximum.reduceat(above, np.searchsorted(near, rows))
        near, other = np.nonzero(lower <= round_up(limit)[:, None])
        lengths.append(np.bincount(near, minlength=len(lower)))
        columns.append(other)
        low.append(kth.astype(np.float64))
        high.append(limit)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return Candidates(starts, np.concatenate(columns), np.concatenate(low), np.concatenate(high))


def round_up(values: Float) -> Float32:
    """Float32 not below the float64 values."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))


def exact_kth(x: Cloud, y: Cloud, found: Candidates, k: int, rows: Int) -> Float:
    """Exact k-th smallest squared distance [R] of the given rows [R], in the unit of the features."""
    order, squares = _sorted_squares(x, y, found, rows)
    return squares[order + k - 1]


def _sorted_squares(x: Cloud, y: Cloud, found: Candidates, rows: Int) -> tuple[Int, Float]:
    """First position [R] of each row's squared distances, ascending within the row, and these distances."""
    _, i, j, starts = _pairs(found, rows)
    squares = exact_squares(x, y, rows[i], j)
    return starts, squares[np.lexsort((squares, i))]


def _pairs(found: Candidates, rows: Int) -> tuple[Int, Int, Int, Int]:
    lengths = found.starts[rows + 1] - found.starts[rows]
    starts = np.cumsum(lengths) - lengths
    i = np.repeat(np.arange(len(rows)), lengths)
    j = found.columns[np.arange(len(i)) - starts[i] + found.starts[rows][i]]
    return lengths, i, j, starts


class Neighbours(NamedTuple):
    """Distances float64 [n, k] to the nearest points, ascending, and their rows int64 [n, k] (lowest on ties)."""

    distance: Float
    row: Int


def k_nearest(x: Features, y: Features, k: int = 1, same: bool = False) -> Neighbours:
    """The ``k`` nearest of y [m, D] for each of x [n, D]; ``same``: y is x and a point is not its own neighbour."""
    if same:
        (left,) = clouds(x)
        right = left
    else:
        left, right = clouds(x, y)
    return k_nearest_of(left, right, k, same)


def k_nearest_of(x: Cloud, y: Cloud, k: int, same: bool) -> Neighbours:
    """As :func:`k_nearest`, for clouds of a common centre."""
    found = candidates(x, y, k, same)
    rows = np.arange(len(x))
    _, i, j, starts = _pairs(found, rows)
    squares = exact_squares(x, y, i, j)
    order = np.lexsort((j, squares, i))
    take = order[starts[:, None] + np.arange(k)]
    return Neighbours(np.sqrt(squares[take]), j[take])
