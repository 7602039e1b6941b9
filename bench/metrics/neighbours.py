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

from bench.metrics.arrays import Bool, Features, Float, Float32, Int

CELLS = 1 << 22  # distances held at once: 16 MB of float32
UNIT = 2.0**-24  # rounding unit of float32
SQUARE = 768  # side of the blocks of a symmetric matrix: small ones waste less on the diagonal


class Block(NamedTuple):
    """Rows start.. of the matrix of halved squared distances: ``lower`` float32 [b, m] never exceeds the truth."""

    start: int
    lower: Float32


@dataclass(frozen=True)
class Cloud:
    """Points made ready for products.

    points  [N, D] the features as given; exact differences are taken of these
    scaled  float32 [N, D] centred and scaled so that no product overflows
    norms   float64 [N] halved squared lengths of ``scaled``
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
        """c with |approximate - exact| <= c (norm of x + norm of y) for halved squared distances of this width."""
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
        norms[part] = np.einsum("nd,nd->n", wide, wide) / 2
    return Cloud(points, scaled, norms, scale)


def _largest(points: Features, centre: Float) -> float:
    return max(float(np.max(np.square(points[s : s + 1024] - centre).sum(axis=1))) for s in range(0, len(points), 1024))


def lower_bounds(x: Cloud, y: Cloud) -> Iterator[Block]:
    """Blocks of lower bounds of the halved squared distances (in units of scale²) of x [n] and y [m]."""
    step = max(1, CELLS // len(y))
    for start in range(0, len(x), step):
        yield Block(start, _lower(x, slice(start, start + step), y, slice(None)))


def _lower(x: Cloud, i: slice, y: Cloud, j: slice) -> Float32:
    keep = 1 - x.slack
    lower = np.asarray(x.scaled[i] @ y.scaled[j].T)
    np.subtract((keep * y.norms[j] - TINY).astype(np.float32), lower, out=lower)
    lower += (keep * x.norms[i, None]).astype(np.float32)
    return lower


def tiles(x: Cloud, y: Cloud) -> Iterator[tuple[int, int, Float32]]:
    """(first row, first column, lower bounds) of square tiles that stay in the processor's cache."""
    step = max(1, min(SQUARE, int(CELLS**0.5)))
    for i in range(0, len(x), step):
        for j in range(0, len(y), step):
            yield i, j, _lower(x, slice(i, i + step), y, slice(j, j + step))


TINY = 1e-30  # covers what underflows in float32 once the longest vector has length <= 1


def upper_of(lower: Float, x: Cloud, y: Cloud, i: Int, j: Int) -> Float:
    """Upper bounds [P] of the halved squared distances of pairs (i, j) from their lower bounds [P]."""
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


@dataclass(frozen=True)
class Kth:
    """What products tell of the distances to the k-th nearest other point.

    low, high  float64 [n] bounds of the halved squared distance, in units of scale²
    near       int64 [n, c] the points of the c lowest lower bounds, -1 where there are fewer others
    complete   bool [n] whether the k nearest are certainly among ``near``
    """

    k: int
    low: Float
    high: Float
    near: Int
    complete: Bool


SPARE = 8  # points kept beyond the k-th, so that exact distances seldom need another pass


def kth_bounds(x: Cloud, k: int) -> Kth:
    """Bounds of the distance of each point to the ``k``-th nearest other one, and who that may be.

    Distances are symmetric, so each block above the diagonal serves both its rows and its columns: half the products.
    """
    kept = _Smallest(len(x), k + SPARE)
    step = max(1, min(SQUARE, int(CELLS**0.5)))
    for above in range(0, len(x), step):
        for left in range(above, len(x), step):
            i, j = slice(above, above + step), slice(left, left + step)
            lower = _lower(x, i, x, j)
            if above == left:
                np.fill_diagonal(lower, np.inf)
            else:
                kept.offer(j, np.ascontiguousarray(lower.T), above)
            kept.offer(i, lower, left)
    return _kth_of(x, k, kept)


def _kth_of(x: Cloud, k: int, kept: _Smallest) -> Kth:
    lower, near = kept.values.astype(np.float64), np.where(np.isinf(kept.values), -1, kept.rows)
    own = np.broadcast_to(np.arange(len(x))[:, None], near.shape)
    upper = np.where(near < 0, np.inf, upper_of(lower, x, x, own, near))
    high = np.partition(upper, k - 1, axis=1)[:, k - 1]
    complete = (lower.max(axis=1) > high) | (near < 0).any(axis=1)
    return Kth(k, np.partition(lower, k - 1, axis=1)[:, k - 1], high, near, complete)


class _Smallest:
    """The ``width`` smallest values offered for each of n rows, and the columns they came from."""

    def __init__(self, n: int, width: int) -> None:
        self.width = width
        self.values = np.full((n, width), np.inf, dtype=np.float32)
        self.rows = np.zeros((n, width), dtype=np.int64)

    def offer(self, part: slice, values: Float32, first: int) -> None:
        """Offer ``values`` [b, m] of columns ``first``.. to the rows of ``part``."""
        if values.shape[1] > self.width:
            columns = np.argpartition(values, self.width - 1, axis=1)[:, : self.width]
            values = np.take_along_axis(values, columns, axis=1)
        else:
            columns = np.broadcast_to(np.arange(values.shape[1]), values.shape)
        joined = np.concatenate([self.values[part], values], axis=1)
        rows = np.concatenate([self.rows[part], columns + first], axis=1)
        best = np.argpartition(joined, self.width - 1, axis=1)[:, : self.width]
        self.values[part] = np.take_along_axis(joined, best, axis=1)
        self.rows[part] = np.take_along_axis(rows, best, axis=1)


def exact_kth_of(x: Cloud, kth: Kth, rows: Int) -> Float:
    """As :func:`exact_kth`, from the few points that ``kth`` left for each row; a pass over all where it cannot say."""
    out = np.empty(len(rows))
    told = kth.complete[rows]
    near = kth.near[rows[told]]
    squares = np.full(near.shape, np.inf)
    i, j = np.nonzero(near >= 0)
    squares[i, j] = exact_squares(x, x, rows[told][i], near[i, j])
    out[told] = np.partition(squares, kth.k - 1, axis=1)[:, kth.k - 1]
    out[~told] = exact_kth(x, kth.k, rows[~told])
    return out


def exact_kth(x: Cloud, k: int, rows: Int) -> Float:
    """Exact squared distances float64 [R], in the unit of the features, of ``rows`` [R] to their k-th other point."""
    out = np.empty(len(rows))
    for start in range(0, len(rows), 1024):
        own = rows[start : start + 1024]
        part = Cloud(x.points[own], x.scaled[own], x.norms[own], x.scale)
        out[start : start + 1024] = _sorted_neighbours(part, x, k, own)[0][:, k - 1]
    return out


def round_up(values: Float) -> Float32:
    """Float32 not below the float64 values."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))


def candidates(x: Cloud, y: Cloud, k: int, own: Int | None) -> tuple[Int, Int]:
    """Pairs (i, j) int64 [P], sorted, that hold the ``k`` nearest y of each x; ``own`` [n]: the y that x itself is."""
    first, second = [], []
    for start, lower in lower_bounds(x, y):
        rows = np.arange(len(lower))
        if own is not None:
            lower[rows, own[start : start + len(lower)]] = np.inf
        kth = np.partition(lower, k - 1, axis=1)[:, k - 1]
        near, other = np.nonzero(lower <= kth[:, None])
        above = upper_of(lower[near, other].astype(np.float64), x, y, start + near, other)
        limit = np.maximum.reduceat(above, np.searchsorted(near, rows))
        near, other = np.nonzero(lower <= round_up(limit)[:, None])
        first.append(near + start)
        second.append(other)
    return np.concatenate(first), np.concatenate(second)


def _sorted_neighbours(x: Cloud, y: Cloud, k: int, own: Int | None) -> tuple[Float, Int]:
    """Squared distances float64 [n, k] and rows int64 [n, k], nearest first, lowest row first among equals."""
    i, j = candidates(x, y, k, own)
    squares = exact_squares(x, y, i, j)
    order = np.lexsort((j, squares, i))
    take = order[np.searchsorted(i, np.arange(len(x)))[:, None] + np.arange(k)]
    return squares[take], j[take]


class Neighbours(NamedTuple):
    """Distances float64 [n, k] to the nearest points, ascending, and their rows int64 [n, k] (lowest on ties)."""

    distance: Float
    row: Int


def k_nearest(x: Features, y: Features, k: int = 1, same: bool = False) -> Neighbours:
    """The ``k`` nearest of y [m, D] for each of x [n, D]; ``same``: y is x and a point is not its own neighbour."""
    left, right = clouds(x) * 2 if same else clouds(x, y)
    squares, rows = _sorted_neighbours(left, right, k, np.arange(len(x)) if same else None)
    return Neighbours(np.sqrt(squares), rows)
