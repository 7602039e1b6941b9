"""Fréchet distance: closed forms, routes that agree, uncertainty, speed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import DataError, UndefinedMetric
from bench.metrics import frechet_distance
from bench.metrics.frechet import distance_of, factor_of, frechet_se, frechet_with_se, moments, nuclear_norm


def test_commuting_covariances_have_a_closed_form():
    """Axes scaled by a and b: d² = |shift|² + Σ s² (a - b)²."""
    rng = np.random.default_rng(0)
    base = np.linalg.qr(rng.normal(size=(400, 20)) - 0)[0]
    base -= base.mean(axis=0)
    base = np.linalg.qr(base)[0] * np.sqrt(399)
    a, b, shift = rng.uniform(0.5, 2, 20), rng.uniform(0.5, 2, 20), rng.normal(size=20)
    expected = np.sum(shift**2) + np.sum((a - b) ** 2)
    assert frechet_distance(base * a, base * b + shift).raw == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("n", "m", "d"), [(300, 300, 40), (60, 50, 200), (60, 500, 200), (400, 400, 600), (900, 900, 300)]
)
def test_distance_and_error_together_are_those_of_each(n, m, d):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, d)).astype(np.float32), (rng.normal(size=(m, d)) * 1.1 + 0.1).astype(np.float32)
    found, se = frechet_with_se(x, y)
    assert se == frechet_se(x, y)
    assert found.raw == (frechet_distance(x, y).raw if n == m else pytest.approx(frechet_distance(x, y).raw, abs=1e-9))


@pytest.mark.parametrize(("n", "m", "d"), [(300, 280, 40), (60, 50, 200), (60, 500, 200), (400, 390, 600)])
def test_all_routes_give_the_nuclear_norm(n, m, d):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, d)), 1.2 * rng.normal(size=(m, d)) + 0.1
    u, v = (z - z.mean(axis=0) for z in (x, y))
    cross = np.linalg.svd(u @ v.T, compute_uv=False).sum() / np.sqrt((n - 1) * (m - 1))
    traces = (u**2).sum() / (n - 1) + (v**2).sum() / (m - 1)
    expected = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) + traces - 2 * cross
    assert frechet_distance(x, y).raw == pytest.approx(expected, abs=1e-8)
    assert frechet_distance(y, x).raw == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("rank", [1, 40, 299])
def test_nuclear_norm_does_not_trust_small_eigenvalues(rank):
    """Duplicates among the images make the cross-product rank-deficient: the roots of its zeros must not count."""
    rng = np.random.default_rng(1)
    matrix = 50 * rng.normal(size=(300, rank)) @ rng.normal(size=(rank, 320))
    assert nuclear_norm(matrix) == pytest.approx(np.linalg.svd(matrix, compute_uv=False).sum(), rel=1e-13)


def test_nuclear_norm_by_eigenvalues_is_exact_where_it_is_used():
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(300, 500)) / 500
    matrix -= matrix.mean(axis=0)
    expected = np.linalg.svd(matrix, compute_uv=False).sum()
    assert abs(nuclear_norm(matrix) - expected) <= 1e-10
    assert abs(nuclear_norm(matrix.T) - expected) <= 1e-10


def test_indefinite_rounding_of_a_covariance_is_survived():
    rng = np.random.default_rng(0)
    thin = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 30))
    covariance = np.cov(thin, rowvar=False)
    factor = factor_of(covariance)
    assert factor.T @ factor == pytest.approx(covariance, abs=1e-10)
    assert frechet_distance(thin, thin).raw == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("width", [256, 300, 520])
def test_wide_covariances_agree_with_the_singular_values_of_their_factors(width):
    """The congruence route, by blocks of 256, against the definition."""
    rng = np.random.default_rng(2)
    x = moments(rng.normal(size=(900, width)) @ rng.normal(size=(width, width)) / width)
    y = moments(rng.normal(size=(800, width)) + 0.1)
    assert x.covariance is not None
    assert x.covariance == pytest.approx(x.covariance.T, abs=0)
    assert x.factor.T @ x.factor == pytest.approx(x.covariance, rel=1e-10, abs=1e-12)
    cross = np.linalg.svd(x.factor @ y.factor.T, compute_uv=False).sum()
    difference = x.mean - y.mean
    exact = difference @ difference + x.trace + y.trace - 2 * cross
    assert abs(distance_of(x, y).raw - exact) <= 1e-8
    assert abs(distance_of(y, x).raw - exact) <= 1e-8


def test_identical_sets_and_raw_value():
    x = np.random.default_rng(0).normal(size=(50, 200)).astype(np.float32)
    found = frechet_distance(x, x)
    assert found == max(0.0, found.raw)
    assert abs(found.raw) < 1e-9


def test_constant_features_have_a_distance():
    assert frechet_distance(np.ones((10, 5)), np.full((12, 5), 3.0)).raw == pytest.approx(20)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_row_order_changes_no_bit(seed):
    rng = np.random.default_rng(seed)
    for n, width in ((40, 12), (20, 30)):
        x, y = rng.normal(size=(n, width)), rng.normal(size=(n - 2, width)).astype(np.float32)
        i, j = rng.permutation(n), rng.permutation(n - 2)
        assert frechet_distance(x[i], y[j]).raw == frechet_distance(x, y).raw
        assert frechet_se(x[i], y[j]) == frechet_se(x, y)


def test_reference_side_can_be_kept():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 30)), rng.normal(size=(300, 30))
    kept = moments(x)
    assert distance_of(kept, moments(y)).raw == frechet_distance(x, y).raw


@pytest.mark.parametrize(("n", "d"), [(200, 8), (120, 150)])
def test_standard_error_equals_the_spread_of_repeated_draws(n, d):
    rng = np.random.default_rng(4)
    scale = np.linspace(0.3, 2, d)
    draws = [(rng.normal(size=(n, d)) * scale, rng.normal(size=(n, d)) + 0.3) for _ in range(60)]
    spread = np.std([frechet_distance(x, y).raw for x, y in draws], ddof=1)
    errors = [frechet_se(x, y) for x, y in draws[:25]]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(spread, rel=0.3)


@pytest.mark.parametrize(("n", "m", "d"), [(50, 60, 30), (150, 160, 200), (100, 250, 120), (250, 100, 120)])
def test_influences_are_the_limit_of_leaving_rows_out(n, m, d):
    """A full jackknife, each row of either side left out once, on every combination of routes."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, d)), 1.3 * rng.normal(size=(m, d)) + 0.2
    of_x = [frechet_distance(np.delete(x, i, axis=0), y).raw for i in range(n)]
    of_y = [frechet_distance(x, np.delete(y, i, axis=0)).raw for i in range(m)]
    expected = np.sqrt((n - 1) * np.var(of_x) + (m - 1) * np.var(of_y))
    assert frechet_se(x, y) == pytest.approx(expected, rel=0.12)
    assert frechet_se(y, x) == pytest.approx(frechet_se(x, y), rel=1e-9)


def test_standard_error_of_thin_and_of_identical_sets():
    """Covariances without full rank have no inverse: only the directions that are there count."""
    rng = np.random.default_rng(0)
    thin = rng.normal(size=(300, 4)) @ np.linalg.qr(rng.normal(size=(20, 20)))[0][:4]
    other = rng.normal(size=(300, 4)) @ np.linalg.qr(rng.normal(size=(20, 20)))[0][:4] + 0.1
    of_x = [frechet_distance(np.delete(thin, i, axis=0), other).raw for i in range(300)]
    of_y = [frechet_distance(thin, np.delete(other, i, axis=0)).raw for i in range(300)]
    expected = np.sqrt(299 * np.var(of_x) + 299 * np.var(of_y))
    assert frechet_se(thin, other) == pytest.approx(expected, rel=0.05)
    for same in (rng.normal(size=(80, 10)), rng.normal(size=(20, 50)), np.ones((20, 3))):
        assert frechet_se(same, same) == pytest.approx(0, abs=1e-6)


def test_bad_features_are_named():
    good = np.zeros((5, 3))
    bad = good.copy()
    bad[3, 1] = np.nan
    with pytest.raises(DataError, match="y: row 3 holds NaN"):
        frechet_distance(good, bad)
    with pytest.raises(UndefinedMetric, match="undefined, because x has n = 1"):
        frechet_distance(good[:1], good)
    with pytest.raises(DataError, match="widths are"):
        frechet_distance(good, np.zeros((5, 4)))
    with pytest.raises(DataError, match=r"\[N, D\]"):
        frechet_distance(np.zeros(5), good)


def _torch_fidelity(x: np.ndarray, y: np.ndarray) -> float:
    torch = pytest.importorskip("torch")
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    both = [fid.fid_features_to_statistics(torch.from_numpy(z).double()) for z in (x, y)]
    return fid.fid_statistics_to_metric(*both, False)["frechet_inception_distance"]


def _clean_fid(x: np.ndarray, y: np.ndarray) -> float:
    fid = pytest.importorskip("cleanfid.fid")
    moments_ = [(z.mean(axis=0), np.cov(z, rowvar=False)) for z in (x.astype(np.float64), y.astype(np.float64))]
    return fid.frechet_distance(*moments_[0], *moments_[1])


def _timed(call, *arguments):
    start = time.perf_counter()
    value = call(*arguments)
    return value, time.perf_counter() - start


@pytest.mark.speed
@pytest.mark.parametrize(
    ("reference", "factor"), [(_torch_fidelity, 10), pytest.param(_clean_fid, 40, marks=pytest.mark.slow)]
)
def test_thousand_images_faster_than_the_references(reference, factor):
    """1,000 x 2,048 features, exact to 1e-8 where the references lose digits to a rank-deficient product."""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(1000, 2048)).astype(np.float32) for _ in range(2))
    expected, slow = _timed(reference, x, y)
    runs = [_timed(frechet_distance, x, y) for _ in range(3)]
    found = runs[0][0]
    u, v = (z - z.mean(axis=0, dtype=np.float64) for z in (x, y))
    cross = np.linalg.svd(u @ v.T, compute_uv=False).sum() / 999
    difference = x.mean(axis=0, dtype=np.float64) - y.mean(axis=0, dtype=np.float64)
    exact = difference @ difference + (np.sum(u * u) + np.sum(v * v)) / 999 - 2 * cross
    assert abs(found.raw - exact) <= 1e-8
    assert found == pytest.approx(expected, rel=1e-4)
    assert slow / min(seconds for _, seconds in runs) >= factor


@pytest.mark.speed
@pytest.mark.slow
def test_ten_thousand_images_faster_than_torch_fidelity():
    """10,000 x 2,048 features, and with the reference side kept; each the best of two but for the reference."""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(10_000, 2048)).astype(np.float32) for _ in range(2))
    expected, slow = _timed(_torch_fidelity, x, y)
    kept = moments(x)
    kept.factor, kept.is_triangular  # noqa: B018  the reference side is kept with its factor
    whole = [_timed(frechet_distance, x, y) for _ in range(2)]
    cached = [_timed(lambda: distance_of(kept, moments(y))) for _ in range(2)]
    found, again = whole[0][0], cached[0][0]
    assert found == pytest.approx(expected, abs=1e-6)
    assert again.raw == found.raw
    assert slow / min(seconds for _, seconds in whole) >= 1.8
    assert slow / min(seconds for _, seconds in cached) >= 2.5
