"""Kernel distance (KID: Bińkowski et al. 2018, arXiv:1801.01401) with the cubic polynomial kernel.

k(x, y) = (x·y / D + 1)³,   MMD²_u = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) - 2 mean_{ij} k(x_i, y_j)

It is unbiased for independent rows. Two photographs of one lesion are not: where groups are given, pairs within a group
are left out, and groups, not rows, are the units of the standard error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import DataError, UndefinedMetric
from bench.metrics.arrays import Features, Float, Int, Kernel, canonical_order, features, same_width

CELLS = 1 << 22  # kernel values held at once: 32 MB


class _Side(NamedTuple):
    """Rows [n, D] with those of one group side by side; ``sizes`` [G]: how many rows each group has."""

    rows: Features
    sizes: Int

    @property
    def single(self) -> bool:
        """Whether every row is a group of its own."""
        return len(self.sizes) == len(self.rows)


class _Sums(NamedTuple):
    """Of a matrix over groups: its mean, row sums [G], column sums [H], and the sum of squares."""

    mean: float
    rows: Float
    columns: Float
    squares: float


def kernel_distance(
    x: ArrayLike, y: ArrayLike, x_groups: ArrayLike | None = None, y_groups: ArrayLike | None = None
) -> Kernel:
    """Exact unbiased KID of ``x`` [n, D] and ``y`` [m, D], n, m >= 2, in float64: a float with ``.se``.

    All pairs are used, so there is no subset size, seed or row order to choose; n and m may differ. The standard error
    adds the linear and the degenerate part of Hoeffding's decomposition, each freed of its own noise, and so holds for
    equal and for different distributions (compare Sutherland et al. 2017, arXiv:1611.04488, appendix A). Negative
    values are values. Memory: blocks of 32 MB.

    ``x_groups`` [n], ``y_groups`` [m]: rows of one lesion or patient have equal labels. With a_gh the sum of k over
    the rows of groups g and h, of sizes n_g and n_h, a side's mean is Σ_{g≠h} a_gh / Σ_{g≠h} n_g n_h, a ratio of
    U-statistics of independent groups; its error is that of the U-statistic of a_gh - mean n_g n_h (the delta method).
    Without groups every row is one. Raises :class:`UndefinedMetric` with fewer than two rows or groups,
    :class:`DataError` where labels are not one a row.
    """
    a, b = _side(x, "x", x_groups), _side(y, "y", y_groups)
    same_width(x=a.rows, y=b.rows)
    xx, yy, xy = _sums(a, a, same=True), _sums(b, b, same=True), _sums(a, b)
    return Kernel(xx.mean + yy.mean - 2 * xy.mean, float(np.sqrt(_variance(xx, yy, xy))))


def _side(values: ArrayLike, name: str, groups: ArrayLike | None) -> _Side:
    """In an order that depends on the rows alone: of rows within a group, and of groups by their first row."""
    rows = features(values, name, least=2)
    order = canonical_order(rows)
    if groups is None:
        return _Side(np.ascontiguousarray(rows[order]), np.ones(len(rows), dtype=np.int64))
    labels: NDArray[np.generic] = np.asarray(groups)
    if labels.shape != (len(rows),):
        raise DataError(f"{name}: {len(rows)} rows have group labels of shape {labels.shape}; one a row is needed")
    _, first, codes = np.unique(labels[order], return_index=True, return_inverse=True)
    if len(first) < 2:
        raise UndefinedMetric(f"undefined, because all {len(rows)} rows of {name} are of one group")
    place = first[codes]  # of each row's group: where its first row stands
    together = np.argsort(place, kind="stable")
    sizes = np.bincount(codes)[np.argsort(first, kind="stable")]
    return _Side(np.ascontiguousarray(rows[order[together]]), sizes)


def _variance(xx: _Sums, yy: _Sums, xy: _Sums) -> float:
    n, m = len(xx.rows), len(yy.rows)
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


def _sums(a: _Side, b: _Side, same: bool = False) -> _Sums:
    """Sums over a_gh in blocks of groups; ``same`` leaves the diagonal out."""
    rows, columns, squares, weighted = np.empty(len(a.sizes)), np.zeros(len(b.sizes)), 0.0, 0.0
    right = np.asarray(b.rows, dtype=np.float64)
    single = a.single and b.single
    for groups, part in _blocks(a, len(right)):
        block = _over_groups(_kernel(a.rows[part], right), a, b, groups)
        if same:
            np.fill_diagonal(block[:, groups.start :], 0.0)
        rows[groups] = block.sum(axis=1)
        columns += block.sum(axis=0)
        squares += float(np.einsum("ij,ij->", block, block))
        if not single:
            weighted += float(a.sizes[groups] @ block @ b.sizes)
    sizes, others = a.sizes.astype(np.float64), b.sizes.astype(np.float64)
    pairs = float(sizes.sum() * others.sum() - (sizes @ sizes if same else 0.0))
    sums = _Sums(float(rows.sum()) / pairs, rows, columns, squares)
    return sums if single else _centred(sums, weighted, sizes, others, same)


def _centred(sums: _Sums, weighted: float, sizes: Float, others: Float, same: bool) -> _Sums:
    """The sums of a_gh - mean n_g m_h, on the scale of a mean over pairs of groups.

    ``weighted``: Σ a_gh n_g m_h. sizes [G] = n, others [H] = m.
    """
    own, across = (sizes, others) if same else (np.zeros_like(sizes), np.zeros_like(others))
    of_rows, of_columns = sizes * (others.sum() - own), others * (sizes.sum() - across)
    products = np.sum(sizes**2) * np.sum(others**2) - np.sum(own**4)
    scale = len(sizes) * (len(others) - same) / of_rows.sum()
    return _Sums(
        sums.mean,
        scale * (sums.rows - sums.mean * of_rows),
        scale * (sums.columns - sums.mean * of_columns),
        float(scale**2 * (sums.squares - 2 * sums.mean * weighted + sums.mean**2 * products)),
    )


def _blocks(side: _Side, width: int) -> Iterator[tuple[slice, slice]]:
    """Groups, at least one, and their rows: so many that at most CELLS kernel values with ``width`` rows are held."""
    ends = np.cumsum(side.sizes)
    group = row = 0
    while group < len(ends):
        last = max(group + 1, int(np.searchsorted(ends, row + CELLS // width, side="right")))
        yield slice(group, last), slice(row, int(ends[last - 1]))
        group, row = last, int(ends[last - 1])


def _over_groups(block: Float, a: _Side, b: _Side, groups: slice) -> Float:
    """Kernel values of the rows of ``groups`` with all rows of ``b``, summed over groups on both sides."""
    if not b.single:
        block = np.add.reduceat(block, np.cumsum(b.sizes) - b.sizes, axis=1)
    if not a.single:
        sizes = a.sizes[groups]
        block = np.add.reduceat(block, np.cumsum(sizes) - sizes, axis=0)
    return block


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
