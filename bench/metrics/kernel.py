"""Kernel distance (KID: Bińkowski et al. 2018, arXiv:1801.01401) with the cubic polynomial kernel.

k(x, y) = (x·y / D + 1)³,   MMD²_u = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) - 2 mean_{ij} k(x_i, y_j)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import UndefinedMetric
from bench.metrics.arrays import Features, Float, Kernel, features, in_canonical_order, same_width

CELLS = 1 << 22  # kernel values held at once: 32 MB


class _Sums(NamedTuple):
    """Of a kernel matrix: row sums [n], column sums [m], and the sum of squares."""

    rows: Float
    columns: Float
    squares: float


def kernel_distance(x: ArrayLike, y: ArrayLike) -> Kernel:
    """Exact unbiased KID of ``x`` [n, D] and ``y`` [m, D], n, m >= 2, in float64: a float with ``.se``.

    All pairs are used, so there is no subset size, seed or row order to choose. The standard error adds the linear
    and the degenerate part of Hoeffding's decomposition, each freed of its own noise, and so holds for equal and for
    different distributions (compare Sutherland et al. 2017, arXiv:1611.04488, appendix A). Negative values are
    values. Memory: blocks of 32 MB. Raises :class:`UndefinedMetric` with fewer than two rows.
    """
    a, b = features(x, "x", least=2), features(y, "y", least=2)
    same_width(x=a, y=b)
    a, b = in_canonical_order(a), in_canonical_order(b)
    n, m = len(a), len(b)
    xx, yy, xy = _sums(a, a, same=True), _sums(b, b, same=True), _sums(a, b)
    mean_xx, mean_yy, mean_xy = xx.rows.sum() / (n * (n - 1)), yy.rows.sum() / (m * (m - 1)), xy.rows.sum() / (n * m)
    return Kernel(float(mean_xx + mean_yy - 2 * mean_xy), float(np.sqrt(_variance(xx, yy, xy, n, m))))


def _variance(xx: _Sums, yy: _Sums, xy: _Sums, n: int, m: int) -> float:
    within_x, within_y = _degenerate(xx, n, n - 1), _degenerate(yy, m, m - 1)
    between = _degenerate(xy, n, m)
    linear_x = np.var(xx.rows / (n - 1) - xy.rows / m, ddof=1) - within_x / (n - 1) - between / m
    linear_y = np.var(yy.rows / (m - 1) - xy.columns / n, ddof=1) - within_y / (m - 1) - between / n
    linear = 4 * max(0.0, float(linear_x)) / n + 4 * max(0.0, float(linear_y)) / m
    return float(linear + 2 * within_x / (n * (n - 1)) + 2 * within_y / (m * (m - 1)) + 4 * between / (n * m))


def _degenerate(sums: _Sums, n: int, per_row: int) -> float:
    """Variance of the kernel after both its one-argument parts are taken away."""
    pairs = n * per_row
    mean = sums.rows.sum() / pairs
    rows, columns = sums.rows / per_row, sums.columns * len(sums.columns) / pairs
    return float(max(0.0, sums.squares / pairs - np.mean(rows**2) - np.mean(columns**2) + mean**2))


def _sums(a: Features, b: Features, same: bool = False) -> _Sums:
    """Sums over k(a_i, b_j) in row blocks; ``same`` leaves the diagonal out."""
    rows, columns, squares = np.empty(len(a)), np.zeros(len(b)), 0.0
    right = np.asarray(b, dtype=np.float64)
    step = max(1, CELLS // len(b))
    for start in range(0, len(a), step):
        block = _kernel(a[start : start + step], right)
        if same:
            np.fill_diagonal(block[:, start:], 0.0)
        rows[start : start + step] = block.sum(axis=1)
        columns += block.sum(axis=0)
        squares += float(np.einsum("ij,ij->", block, block))
    return _Sums(rows, columns, squares)


def _kernel(a: Features, b: Float) -> Float:
    block = np.asarray(a, dtype=np.float64) @ b.T
    block /= b.shape[1]
    block += 1
    cubed = block * block
    cubed *= block
    return cubed


class SubsetKernel(NamedTuple):
    """Mean and standard deviation (ddof = 0) over subsets."""

    mean: float
    std: float


def kernel_distance_subsets(
    synthetic: ArrayLike, real: ArrayLike, subsets: int = 100, subset_size: int = 1000, seed: int = 2020
) -> SubsetKernel:
    """KID as torch-fidelity computes it: the mean over random subsets, drawn from the same stream in the same order.

    synthetic [n, D] is drawn first (its ``input1``), real [m, D] second, from ``RandomState(seed)``. The subset sums
    are quadratic forms of 0/1 vectors with the full kernel matrices, so each kernel value is computed once.
    """
    a, b = features(synthetic, "synthetic", least=subset_size), features(real, "real", least=subset_size)
    same_width(synthetic=a, real=b)
    if subset_size < 2:
        raise UndefinedMetric("undefined, because a subset needs at least two images")
    rng = np.random.RandomState(seed)
    chosen_a, chosen_b = np.zeros((len(a), subsets)), np.zeros((len(b), subsets))
    for s in range(subsets):
        chosen_a[rng.choice(len(a), subset_size, replace=False), s] = 1
        chosen_b[rng.choice(len(b), subset_size, replace=False), s] = 1
    within = _forms(a, a, chosen_a, chosen_a, same=True) + _forms(b, b, chosen_b, chosen_b, same=True)
    values = within / (subset_size * (subset_size - 1)) - 2 * _forms(a, b, chosen_a, chosen_b) / subset_size**2
    return SubsetKernel(float(np.mean(values)), float(np.std(values)))


def _forms(a: Features, b: Features, left: Float, right: Float, same: bool = False) -> Float:
    """leftᵀ K right column by column, [S]; ``same`` leaves the diagonal of K out."""
    total = np.zeros(left.shape[1])
    other = np.asarray(b, dtype=np.float64)
    step = max(1, CELLS // len(b))
    for start in range(0, len(a), step):
        block = _kernel(a[start : start + step], other)
        if same:
            np.fill_diagonal(block[:, start:], 0.0)
        total += np.einsum("is,is->s", left[start : start + step], block @ right)
    return total
