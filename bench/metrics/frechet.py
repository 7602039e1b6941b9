"""Fréchet distance between Gaussians fitted to two feature sets (FID: Heusel et al. 2017, arXiv:1706.08500).

    d² = |m_x - m_y|² + tr S_x + tr S_y - 2 tr (S_x S_y)^½          (ddof = 1)

With centred data X, Y the last trace is the nuclear norm of X Yᵀ / sqrt((n - 1)(m - 1)): the sum of its singular
values. No matrix square root is taken, so rank-deficient covariances (n <= D) are exact instead of regularised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.arrays import Features, Float, Frechet, Int, features, in_canonical_order, same_width


@dataclass(frozen=True)
class Moments:
    """Mean [D], trace of the covariance and a factor F [R, D] with Fᵀ F = covariance; made once for a reference set."""

    mean: Float
    trace: float
    factor: Float


def frechet_distance(x: ArrayLike, y: ArrayLike) -> Frechet:
    """Fréchet distance of ``x`` [n, D] and ``y`` [m, D] in float64: a float clamped at 0, with ``.raw``.

    Gram route for n, m <= D (singular values of an n x m matrix), Cholesky or eigenvalue factors otherwise. Symmetric;
    row order changes no bit. Raises :class:`UndefinedMetric` with fewer than two rows, :class:`DataError` on NaN or
    unequal widths.
    """
    return distance_of(moments(x, "x"), moments(y, "y"))


def moments(x: ArrayLike, name: str = "x") -> Moments:
    """Mean, trace and covariance factor of ``x`` [n, D], n >= 2; reusable when one side stays the same."""
    rows = in_canonical_order(features(x, name, least=2))
    mean = rows.mean(axis=0, dtype=np.float64)
    if len(rows) <= rows.shape[1]:
        factor = (rows - mean) / np.sqrt(len(rows) - 1)
        return Moments(mean, float(np.einsum("nd,nd->", factor, factor)), factor)
    covariance = _scatter(rows, mean) / (len(rows) - 1)
    return Moments(mean, float(np.trace(covariance)), factor_of(covariance))


def distance_of(x: Moments, y: Moments) -> Frechet:
    """Fréchet distance from two sets of moments."""
    same_width(x=x.factor, y=y.factor)
    difference = x.mean - y.mean
    cross = nuclear_norm(x.factor @ y.factor.T)
    return Frechet(float(difference @ difference), x.trace + y.trace - 2 * cross)


def _scatter(rows: Features, mean: Float) -> Float:
    """Sum of outer products of the centred rows, float64 [D, D], in blocks: no float64 copy of all rows."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    buffer = np.empty((min(len(rows), 2048), rows.shape[1]))
    for start in range(0, len(rows), len(buffer)):
        part = rows[start : start + len(buffer)]
        centred = np.subtract(part, mean, out=buffer[: len(part)])
        total += centred.T @ centred
    return total


def factor_of(covariance: Float) -> Float:
    """F [D, D] with Fᵀ F = ``covariance``: Cholesky where it is positive definite, scaled eigenvectors otherwise."""
    try:
        return np.ascontiguousarray(np.linalg.cholesky(covariance).T)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T)


def nuclear_norm(matrix: Float, tolerance: float = 1e-10) -> float:
    """Sum of the singular values of ``matrix`` [R, S], by a route whose rounding error is below ``tolerance``.

    The eigenvalues of M Mᵀ cost a fourth of a singular value decomposition, but the roots of small ones are rounded
    badly. So they are used only where a first-order bound of that error is within ``tolerance`` (absolute).
    """
    if min(matrix.shape) >= 256:
        total = _norm_by_eigenvalues(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T, tolerance)
        if total is not None:
            return total
    return float(np.sum(np.linalg.svd(matrix, compute_uv=False)))


def _norm_by_eigenvalues(matrix: Float, tolerance: float) -> float | None:
    """Nuclear norm of ``matrix`` [R, S], R <= S, or None where rounding could show."""
    gram = matrix @ matrix.T
    scale = float(np.trace(gram)) / len(gram)
    if not scale > 0:
        return None
    # Centred rows leave the direction of ones empty: an exact 0 whose root would be all rounding. It is filled with a
    # known eigenvalue and taken off again.
    empty = bool(np.abs(matrix.sum(axis=0)).max() <= 1e-12 * np.sqrt(scale) * len(gram))
    if empty:
        gram += scale / len(gram)
    values = np.linalg.eigvalsh(gram)
    rounding = 4 * np.finfo(np.float64).eps * values[-1]
    if values[0] <= 4 * rounding or np.sum(rounding / (2 * np.sqrt(values))) > tolerance:
        return None
    return float(np.sum(np.sqrt(values)) - (np.sqrt(scale) if empty else 0.0))


def frechet_se(x: ArrayLike, y: ArrayLike, blocks: int = 10, seed: int = 0) -> float:
    """Standard error of the Fréchet distance by the delete-a-block jackknife of each side.

    Rows are dealt to ``blocks`` random blocks (seeded); var = sum over both sides of (g - 1)/g · Σ (d_(-j) - mean)²
    (Shao & Wu 1989). Unlike a bootstrap it does not duplicate rows, which would bias the distance upward.
    """
    a, b = features(x, "x", least=4), features(y, "y", least=4)
    same_width(x=a, y=b)
    a, b = in_canonical_order(a), in_canonical_order(b)
    blocks = min(blocks, len(a) // 2, len(b) // 2)
    rng = np.random.default_rng(seed)
    parts = [np.array_split(rng.permutation(len(rows)), blocks) for rows in (a, b)]
    if max(len(a), len(b)) <= a.shape[1]:
        left = _gram_jackknife(a, b, parts)
    else:
        whole = moments(a), moments(b)
        left = [
            [float(distance_of(moments(np.delete(a, part, axis=0)), whole[1]).raw) for part in parts[0]],
            [float(distance_of(whole[0], moments(np.delete(b, part, axis=0))).raw) for part in parts[1]],
        ]
    return float(np.sqrt(sum((blocks - 1) * np.var(values) for values in left)))


def _gram_jackknife(a: Features, b: Features, parts: list[list[Int]]) -> list[list[float]]:
    """Distances without each block, from inner products alone: nothing of size D is touched twice."""
    pooled = np.concatenate([a, b]).mean(axis=0, dtype=np.float64)
    u, v = a - pooled, b - pooled
    grams = u @ u.T, v @ v.T, u @ v.T
    every = np.arange(len(a)), np.arange(len(b))
    return [
        [_gram_distance(grams, np.setdiff1d(every[0], part), every[1]) for part in parts[0]],
        [_gram_distance(grams, every[0], np.setdiff1d(every[1], part)) for part in parts[1]],
    ]


def _gram_distance(grams: tuple[Float, Float, Float], i: Int, j: Int) -> float:
    """Fréchet distance of rows i and j from their inner products (Gram matrices [n, n], [m, m], [n, m])."""
    xx, yy, xy = grams[0][np.ix_(i, i)], grams[1][np.ix_(j, j)], grams[2][np.ix_(i, j)]
    mean_term = xx.mean() + yy.mean() - 2 * xy.mean()
    traces = [(np.trace(g) - g.mean() * len(g)) / (len(g) - 1) for g in (xx, yy)]
    centred = xy - xy.mean(axis=0) - xy.mean(axis=1)[:, None] + xy.mean()
    cross = nuclear_norm(centred / np.sqrt((len(i) - 1.0) * (len(j) - 1.0)))
    return float(mean_term + sum(traces) - 2 * cross)
