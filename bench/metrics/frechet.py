"""Fréchet distance between Gaussians fitted to two feature sets (FID: Heusel et al. 2017, arXiv:1706.08500).

    d² = |m_x - m_y|² + tr S_x + tr S_y - 2 tr (S_x S_y)^½          (ddof = 1)

With centred data X, Y the last trace is the nuclear norm of X Yᵀ / sqrt((n - 1)(m - 1)): the sum of its singular
values. No matrix square root is taken, so rank-deficient covariances (n <= D) are exact instead of regularised.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.arrays import Features, Float, Frechet, features, in_canonical_order, same_width


@dataclass(frozen=True)
class Moments:
    """Mean [D] and covariance of a feature set, made once for a reference set.

    ``trace`` of the covariance; the covariance itself [D, D] where n > D, else ``rows`` [n, D], the centred features
    over sqrt(n - 1), which hold less.
    """

    mean: Float
    trace: float
    covariance: Float | None = None
    rows: Float | None = None

    @cached_property
    def factor(self) -> Float:
        """F [R, D] with Fᵀ F = covariance."""
        if self.rows is not None:
            return self.rows
        assert self.covariance is not None
        return factor_of(self.covariance)

    @cached_property
    def is_triangular(self) -> bool:
        """Whether ``factor`` is upper triangular."""
        factor = self.factor
        return factor.shape[0] == factor.shape[1] and not np.tril(factor, -1).any()


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
        return Moments(mean, float(np.einsum("nd,nd->", factor, factor)), rows=factor)
    covariance = _scatter(rows, mean)
    covariance /= len(rows) - 1
    return Moments(mean, float(np.trace(covariance)), covariance)


def frechet_with_se(x: ArrayLike, y: ArrayLike) -> tuple[Frechet, float]:
    """:func:`frechet_distance` and :func:`frechet_se` for less than both: they share their products.

    Equal to the bit for sets of equal size; else the distance may differ by rounding. n, m >= 4.
    """
    sides = _Sides.of(x, y)
    return distance_of(sides.of_x, sides.of_y, sides), sides.se()


def distance_of(x: Moments, y: Moments, shared: _Sides | None = None) -> Frechet:
    """Fréchet distance from two sets of moments, of which ``shared`` may have products already."""
    if len(x.mean) != len(y.mean):
        same_width(x=x.mean[None], y=y.mean[None])
    difference = x.mean - y.mean
    cross = _trace_of_root(x, y)
    if cross is None:
        cross = nuclear_norm(x.factor @ y.factor.T) if shared is None else nuclear_norm(shared.cross, gram=shared.gram)
    return Frechet(float(difference @ difference), x.trace + y.trace - 2 * cross)


def _trace_of_root(x: Moments, y: Moments) -> float | None:
    """tr (S_x S_y)^½ of two wide covariances from the eigenvalues of F S_y Fᵀ with S_x = Fᵀ F, or None where rounding
    could show: one Cholesky factor instead of two, and products of triangles."""
    if y.covariance is None or x.covariance is None or len(x.mean) < 256 or not x.is_triangular:
        return None
    return _sum_of_roots(np.asarray(np.linalg.eigvalsh(_congruence(x.factor, y.covariance)), dtype=np.float64))


def _congruence(upper: Float, symmetric: Float, block: int = 256) -> Float:
    """Lower triangle of U S Uᵀ [D, D] for upper triangular U; what lies above the diagonal blocks is not set."""
    n = len(upper)
    left = np.empty_like(symmetric)
    for i in range(0, n, block):
        np.matmul(upper[i : i + block, i:], symmetric[i:], out=left[i : i + block])
    product = np.zeros_like(symmetric)
    for j in range(0, n, block):
        np.matmul(left[j:, j:], upper[j : j + block, j:].T, out=product[j:, j : j + block])
    return product


def _scatter(rows: Features, mean: Float) -> Float:
    """Sum of outer products of the centred rows, float64 [D, D], in blocks: no float64 copy of all rows."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    buffer = np.empty((min(len(rows), 2048), rows.shape[1]))
    for start in range(0, len(rows), len(buffer)):
        part = rows[start : start + len(buffer)]
        _add_gram(total, np.subtract(part, mean, out=buffer[: len(part)]))
    upper = np.triu_indices(len(total), 1)
    total[upper] = total.T[upper]
    return total


def _add_gram(total: Float, rows: Float) -> None:
    """Add rowsᵀ rows to the lower triangle of ``total`` [D, D].

    The rank-k update of BLAS is slower than its matrix product, so the triangle is halved into rectangles.
    """
    width = rows.shape[1]
    if width <= 256:
        total += rows.T @ rows
        return
    half = width // 2
    total[half:, :half] += rows[:, half:].T @ rows[:, :half]
    _add_gram(total[:half, :half], rows[:, :half])
    _add_gram(total[half:, half:], rows[:, half:])


def factor_of(covariance: Float) -> Float:
    """F [D, D] with Fᵀ F = ``covariance``: Cholesky where it is positive definite, scaled eigenvectors otherwise."""
    try:
        return np.ascontiguousarray(np.linalg.cholesky(covariance).T)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T)


def nuclear_norm(matrix: Float, tolerance: float = 1e-10, gram: Float | None = None) -> float:
    """Sum of the singular values of ``matrix`` [R, S], by a route whose rounding error is below ``tolerance``.

    ``gram``: M Mᵀ where it is known, R <= S.

    The eigenvalues of M Mᵀ cost a fourth of a singular value decomposition, but the roots of small ones are rounded
    badly. So they are used only where a first-order bound of that error is within ``tolerance`` (absolute).
    """
    if min(matrix.shape) >= 256:
        wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        total = _norm_by_eigenvalues(wide, wide @ wide.T if gram is None else gram, tolerance)
        if total is not None:
            return total
    return float(np.sum(np.linalg.svd(matrix, compute_uv=False)))


def _norm_by_eigenvalues(matrix: Float, gram: Float, tolerance: float) -> float | None:
    """Nuclear norm of ``matrix`` [R, S], R <= S, from ``gram`` = M Mᵀ, or None where rounding could show."""
    scale = float(np.trace(gram)) / len(gram)
    if not scale > 0:
        return None
    # Centred rows leave the direction of ones empty: an exact 0 whose root would be all rounding. It is filled with a
    # known eigenvalue and taken off again.
    empty = bool(np.abs(matrix.sum(axis=0)).max() <= 1e-12 * np.sqrt(scale) * len(gram))
    if empty:
        gram = gram + scale / len(gram)
    total = _sum_of_roots(np.asarray(np.linalg.eigvalsh(gram), dtype=np.float64), tolerance)
    return None if total is None else total - (np.sqrt(scale) if empty else 0.0)


def _sum_of_roots(values: Float, tolerance: float = 1e-10) -> float | None:
    """Sum of the roots of ascending eigenvalues, None where their rounding could move it by ``tolerance``."""
    rounding = 4 * np.finfo(np.float64).eps * values[-1]
    if values[0] <= 4 * rounding or np.sum(rounding / (2 * np.sqrt(values))) > tolerance:
        return None
    return float(np.sum(np.sqrt(values)))


def frechet_se(x: ArrayLike, y: ArrayLike) -> float:
    """Standard error of the Fréchet distance of ``x`` [n, D] and ``y`` [m, D] by the infinitesimal jackknife.

    The influence of row i on x's side is, with z_i = x_i - m_x and c = n / (n - 1),

        IF_i = 2 (m_x - m_y)·z_i + c |z_i|² - 2 c z_iᵀ G z_i + const,   G = d tr (S_x S_y)^½ / d S_x

    and var = var(IF_x) / n + var(IF_y) / m (Efron 1982, chapter 6). It agrees with a delete-a-block jackknife at the
    cost of one decomposition instead of one a block, and like that one is too large by up to 1.4 where both sets come
    from one distribution. n, m >= 4. A bootstrap would duplicate rows and so bias the distance itself.
    """
    return _Sides.of(x, y).se()


@dataclass(frozen=True)
class _Sides:
    """Two feature sets in canonical order, the one of the smaller factor first, with what distance and error share."""

    x: Features
    y: Features
    of_x: Moments
    of_y: Moments

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike) -> _Sides:
        a, b = features(x, "x", least=4), features(y, "y", least=4)
        same_width(x=a, y=b)
        a, b = in_canonical_order(a), in_canonical_order(b)
        of_a, of_b = moments(a), moments(b)
        return cls(a, b, of_a, of_b) if len(of_a.factor) <= len(of_b.factor) else cls(b, a, of_b, of_a)

    @cached_property
    def cross(self) -> Float:
        """F_x F_yᵀ [R, S], R <= S."""
        return np.asarray(self.of_x.factor @ self.of_y.factor.T)

    @cached_property
    def gram(self) -> Float:
        """Product of ``cross`` with its transpose, [R, R]."""
        return np.asarray(self.cross @ self.cross.T)

    def se(self) -> float:
        """See :func:`frechet_se`."""
        values, left = np.linalg.eigh(self.gram)
        singular = np.sqrt(np.clip(values, 0, None))
        inverse = np.divide(1, singular, out=np.zeros_like(singular), where=singular > 1e-7 * singular[-1])
        difference = self.of_x.mean - self.of_y.mean
        of_x = _influence_variance(self.x, self.of_x, difference, left, singular)
        return float(np.sqrt(of_x + _influence_variance(self.y, self.of_y, -difference, self.cross.T @ left, inverse)))


def _influence_variance(rows: Features, of: Moments, difference: Float, basis: Float, weights: Float) -> float:
    """var(IF) / n of one side; 2 c z_iᵀ G z_i = c Σ_k weights_k (basis_k · a_i)² where z_i = Fᵀ a_i."""
    n = len(rows)
    influence = np.empty(n)
    for start in range(0, n, 2048):
        part = slice(start, start + 2048)
        z = rows[part] - of.mean
        rows_are_factor = n <= rows.shape[1]
        along = np.sqrt(n - 1) * basis[part] if rows_are_factor else _coordinates(of.factor, z) @ basis
        curved = np.einsum("nd,nd->n", z, z) - np.einsum("nk,k,nk->n", along, weights, along)
        influence[part] = 2 * z @ difference + n / (n - 1) * curved
    return float(np.var(influence, ddof=1) / n)


def _coordinates(factor: Float, z: Float) -> Float:
    """a [b, R] with z = a F for rows z [b, D]; where F is singular, of those parts that F can give."""
    if np.diagonal(factor).min() <= 0 or np.any(np.tril(factor, -1)):  # scaled eigenvectors: orthogonal rows
        lengths = np.einsum("rd,rd->r", factor, factor)
        present = lengths > 1e-12 * lengths.max()
        return np.asarray(z @ factor.T * np.divide(1, lengths, out=np.zeros_like(lengths), where=present))
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(factor.T, z.T, lower=True).T)
