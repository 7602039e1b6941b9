"""Neighbour metrics decide as exact arithmetic would: ties, duplicates, offsets, scales, block sizes."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.metrics import authenticity, nearest, prdc
from bench.metrics.neighbours import clouds, exact_kth_of, k_nearest, kth_bounds, lower_bounds, upper_of

NAMES = ("precision", "recall", "density", "coverage")


def exact(real: np.ndarray, synthetic: np.ndarray, k: int, ties: str) -> dict[str, float]:
    """By integers: coordinates on a grid, squared distances exact in int64."""

    def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return ((a[:, None] - b[None]) ** 2).sum(axis=2)

    def radii(a: np.ndarray) -> np.ndarray:
        own = squares(a, a)
        np.fill_diagonal(own, np.iinfo(np.int64).max)
        return np.sort(own, axis=1)[:, k - 1]

    inside = np.less if ties == "lt" else np.less_equal
    cross = squares(real, synthetic)
    in_real, in_synthetic = inside(cross, radii(real)[:, None]), inside(cross, radii(synthetic)[None, :])
    shares = in_real.any(axis=0).mean(), in_synthetic.any(axis=1).mean(), in_real.sum() / (k * len(synthetic))
    return dict(zip(NAMES, (*shares, in_real.any(axis=1).mean()), strict=True))


@st.composite
def grids(draw):
    """Two sets on a coarse integer grid: full of ties and duplicates."""
    seed, n, m = draw(st.integers(0, 10_000)), draw(st.integers(6, 40)), draw(st.integers(6, 40))
    rng = np.random.default_rng(seed)
    width = draw(st.integers(1, 5))
    return rng.integers(0, 4, (n, width)), rng.integers(0, 5, (m, width))


@settings(max_examples=60, deadline=None)
@given(grids(), st.integers(1, 5), st.sampled_from(["lt", "le"]), st.sampled_from([np.float32, np.float64]))
def test_counts_equal_integer_arithmetic(sets, k, ties, dtype):
    real, synthetic = sets
    found = prdc(real.astype(dtype), synthetic.astype(dtype), k, ties)
    for name, value in exact(real, synthetic, k, ties).items():
        assert found[name] == pytest.approx(value, abs=1e-14), name


@settings(max_examples=30, deadline=None)
@given(grids(), st.sampled_from([4096.0, -1e6, 2.0**40]), st.sampled_from([2.0**-60, 1.0, 2.0**70]))
def test_offset_and_scale_change_nothing(sets, offset, scale):
    real, synthetic = (s.astype(np.float64) for s in sets)
    plain = prdc(real, synthetic, 3)
    moved = prdc((real + offset) * scale, (synthetic + offset) * scale, 3)
    for name in ("in_real", "density_of", "in_synthetic", "covered"):
        assert np.array_equal(getattr(plain, name), getattr(moved, name)), name


@settings(max_examples=30, deadline=None)
@given(grids(), st.integers(0, 1000))
def test_row_order_changes_no_decision(sets, seed):
    real, synthetic = (s.astype(np.float32) for s in sets)
    rng = np.random.default_rng(seed)
    i, j = rng.permutation(len(real)), rng.permutation(len(synthetic))
    plain, shuffled = prdc(real, synthetic, 3), prdc(real[i], synthetic[j], 3)
    assert np.array_equal(plain.in_real[j], shuffled.in_real)
    assert np.array_equal(plain.density_of[j], shuffled.density_of)
    assert np.array_equal(plain.covered[i], shuffled.covered)
    assert [plain[n] for n in NAMES] == [shuffled[n] for n in NAMES]


@pytest.mark.parametrize("cells", [300, 5000])
def test_block_size_changes_no_bit(manifold, cells, monkeypatch):
    real, synthetic = manifold["held_out"][:300], manifold["oracle"][:280]
    whole, found = prdc(real, synthetic), k_nearest(synthetic, real, 3)
    monkeypatch.setattr("bench.metrics.neighbours.CELLS", cells)
    blocked, again = prdc(real, synthetic), k_nearest(synthetic, real, 3)
    assert np.array_equal(whole.density_of, blocked.density_of)
    assert np.array_equal(whole.in_synthetic, blocked.in_synthetic)
    assert np.array_equal(found.distance, again.distance)
    assert np.array_equal(found.row, again.row)


def test_bounds_hold_for_every_pair():
    """Also with one far outlier and with vectors that differ in length by twelve orders of magnitude."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 300)), rng.normal(size=(50, 300))
    x[0] *= 1e6
    y[:5] *= 1e-6
    a, b = clouds(x, y)
    truth = ((x[:, None] - y[None]) ** 2).sum(axis=2) / a.scale**2 / 2
    i, j = np.divmod(np.arange(60 * 50), 50)
    lower = np.concatenate([block.lower for block in lower_bounds(a, b)]).astype(np.float64)[i, j]
    assert np.all(lower <= truth[i, j])
    assert np.all(upper_of(lower, a, b, i, j) >= truth[i, j])


def test_nearest_equals_brute_force_with_lowest_index_on_ties():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 3, (50, 3)).astype(np.float64), rng.integers(0, 3, (40, 3)).astype(np.float64)
    squares = ((x[:, None] - y[None]) ** 2).sum(axis=2)
    rows, distances = nearest(x, y)
    assert np.array_equal(rows, squares.argmin(axis=1))
    assert np.array_equal(distances, np.sqrt(squares.min(axis=1)))
    own = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    np.fill_diagonal(own, np.inf)
    found = k_nearest(x, x, 4, same=True)
    assert np.array_equal(found.distance, np.sqrt(np.sort(own, axis=1)[:, :4]))
    assert not np.any(found.row == np.arange(50)[:, None])


@pytest.mark.parametrize("copies", [1, 10, 40])
def test_kth_distances_are_exact_however_many_points_tie(copies):
    """With more ties than points are kept, another pass decides; with fewer, those kept do."""
    rng = np.random.default_rng(3)
    points = np.repeat(rng.normal(size=(30, 200)) + 100, copies, axis=0)
    (cloud,) = clouds(points)
    kth = kth_bounds(cloud, 5)
    own = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(own, np.inf)
    expected = np.sort(own, axis=1)[:, 4]
    assert exact_kth_of(cloud, kth, np.arange(len(points))) == pytest.approx(expected, rel=1e-12)
    unit = cloud.scale**2 * 2
    assert np.all(kth.low * unit <= expected + 1e-12)
    assert np.all(kth.high * unit >= expected - 1e-12)
    assert kth.complete.all() == (copies < 40)


def test_float32_products_of_offset_features_would_be_wrong(manifold):
    """The fault of the reference: at an offset of 2^14 its float32 distances lose precision and recall."""
    torch = pytest.importorskip("torch")
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    noise = np.random.default_rng(0).uniform(-1, 1, (500, 48))
    real, synthetic = (np.round(z * 256) / 256 for z in (manifold["held_out"][:500], noise.astype(np.float32)))
    far = [(z + 16384.0).astype(np.float32) for z in (real, synthetic)]
    assert np.array_equal(far[0].astype(np.float64) - 16384, real)

    def theirs(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
        tensors = torch.from_numpy(b), torch.from_numpy(a)
        kwargs = {"prc_neighborhood": 5, "prc_batch_size": 10000, "save_cpu_ram": False, "verbose": False}
        return prc.prc_features_to_metric(*tensors, **kwargs)

    ours, here, there = prdc(real, synthetic, 5, "le"), theirs(real, synthetic), theirs(*far)
    assert here["precision"] == pytest.approx(ours.precision, abs=1e-6)
    assert ours.precision < 0.01
    assert there["precision"] > 0.9  # noise among the reals, says the reference
    shifted = prdc(*far, 5, "le")
    assert [shifted[n] for n in NAMES] == [ours[n] for n in NAMES]


def test_duplicates_are_neighbours():
    """Two photographs of a lesion with equal features: the ball of k = 1 has radius 0 and holds nothing strictly."""
    real = np.repeat(np.arange(8.0)[:, None], 2, axis=0)
    assert prdc(real, real[::2] + 0.1, k=1).precision == 0
    assert prdc(real, real[::2], k=1, ties="lt").precision == 0
    assert prdc(real, real[::2], k=1, ties="le").precision == 1


def test_constant_features_do_not_crash():
    constant = np.full((20, 4), 7.0, dtype=np.float32)
    assert [prdc(constant, constant)[n] for n in NAMES] == [0, 0, 0, 0]
    assert prdc(constant, constant, ties="le").coverage == 1
    assert nearest(constant, constant).distances.max() == 0


def test_bad_input():
    x = np.random.default_rng(0).normal(size=(10, 3))
    with pytest.raises(UndefinedMetric, match="synthetic has n = 5 and at least 6"):
        prdc(x, x[:5])
    with pytest.raises(ConfigError, match="ties"):
        prdc(x, x, ties="equal")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="row 2 holds NaN"):
        authenticity(x, np.where(np.arange(10)[:, None] == 2, np.nan, x))


def test_memory_is_bounded():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(4000, 16)).astype(np.float32) for _ in range(2))
    tracemalloc.start()
    prdc(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6  # a full matrix of distances would be 64 MB in float32, and references hold several


@pytest.mark.speed
@pytest.mark.parametrize(
    ("n", "factor"), [(2500, 2.0), pytest.param(10_000, 2.5, marks=pytest.mark.slow)], ids=["2500", "10000"]
)
def test_equal_counts_and_faster_than_prdc(n, factor):
    """On two threads each; the gain rises with n."""
    reference = pytest.importorskip("prdc")
    from threadpoolctl import threadpool_limits

    real, synthetic = wide_manifold(n)
    with threadpool_limits(2):
        expected, slow = timed(reference.compute_prdc, real, synthetic, 5)
        (found, first), (_, second) = (timed(prdc, real, synthetic, 5) for _ in range(2))
    for name in NAMES:
        assert found[name] == pytest.approx(expected[name], abs=1e-12)
    assert slow / min(first, second) >= factor


@pytest.mark.speed
@pytest.mark.slow
def test_faster_than_torch_fidelity_at_equal_counts():
    torch = pytest.importorskip("torch")
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    real, synthetic = wide_manifold(6000)
    kwargs = {"prc_neighborhood": 3, "prc_batch_size": 10000, "save_cpu_ram": False, "verbose": False}
    tensors = torch.from_numpy(synthetic), torch.from_numpy(real)
    expected, slow = timed(lambda: prc.prc_features_to_metric(*tensors, **kwargs))
    found, fast = timed(prdc, real, synthetic, 3, "le")
    assert found.precision == pytest.approx(expected["precision"], abs=1e-6)
    assert found.recall == pytest.approx(expected["recall"], abs=1e-6)
    assert slow / fast >= 1.4  # and density and coverage come with it


def wide_manifold(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two draws [n, 2048] of one 32-dimensional linear manifold, float32."""
    rng = np.random.default_rng(0)
    into = rng.normal(size=(32, 2048)).astype(np.float32)
    real, synthetic = (rng.normal(size=(n, 32)).astype(np.float32) @ into for _ in range(2))
    return real, synthetic


def timed(call, *arguments):
    start = time.perf_counter()
    value = call(*arguments)
    return value, time.perf_counter() - start
