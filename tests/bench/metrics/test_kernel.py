"""Kernel distance: definition, invariances, standard error, speed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bench.errors import DataError, UndefinedMetric
from bench.metrics import kernel_distance, kernel_distance_subsets


def brute_force(x: np.ndarray, y: np.ndarray) -> float:
    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / len(a) + 1) ** 3

    within = [np.mean([k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]) for s in (x, y)]
    return sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])


def test_definition():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(7, 4)) + 0.5
    assert float(kernel_distance(x, y)) == pytest.approx(brute_force(x, y), rel=1e-12)
    assert float(kernel_distance(y, x)) == pytest.approx(brute_force(x, y), rel=1e-12)


def test_row_order_changes_no_bit():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 30)).astype(np.float32), rng.normal(size=(40, 30)).astype(np.float32)
    plain, shuffled = kernel_distance(x, y), kernel_distance(rng.permutation(x), rng.permutation(y))
    assert (float(plain), plain.se) == (float(shuffled), shuffled.se)


def test_block_size_changes_nothing_visible(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 30)), rng.normal(size=(150, 30))
    whole = kernel_distance(x, y)
    monkeypatch.setattr("bench.metrics.kernel.CELLS", 1000)
    blocked = kernel_distance(x, y)
    assert (float(blocked), blocked.se) == pytest.approx((float(whole), whole.se), rel=1e-11)


@pytest.mark.parametrize(("n", "m"), [(80, 80), (60, 150)])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_standard_error_equals_the_spread_of_repeated_draws(n, m, shift):
    """Also where both distributions are equal and the linear part of the statistic vanishes."""
    rng = np.random.default_rng(7)
    found = [
        kernel_distance(rng.normal(size=(n, 10)), 1.1**shift * rng.normal(size=(m, 10)) + shift) for _ in range(400)
    ]
    values = np.array([float(f) for f in found])
    se = np.sqrt(np.mean([f.se**2 for f in found]))
    assert se == pytest.approx(values.std(ddof=1), rel=0.12)
    if shift == 0:
        assert abs(values.mean()) < 4 * values.std() / 20  # unbiased: negative values are not clipped
        assert values.min() < 0


def clustered(rng: np.random.Generator, groups: int, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ``groups`` lesions, one to four of each, that differ less than lesions do; and whose they are."""
    sizes = 1 + rng.binomial(3, 0.4, groups)
    of = np.repeat(np.arange(groups), sizes)
    return rng.normal(size=(groups, width))[of] + 0.5 * rng.normal(size=(len(of), width)), of


def test_pairs_of_a_group_are_left_out():
    rng = np.random.default_rng(0)
    (x, of_x), (y, of_y) = clustered(rng, 6), clustered(rng, 5)
    k = [(a @ b.T / 6 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    apart = [of[:, None] != of[None] for of in (of_x, of_y)]
    expected = k[0][apart[0]].mean() + k[1][apart[1]].mean() - 2 * k[2].mean()
    assert float(kernel_distance(x, y, of_x, of_y)) == pytest.approx(expected, rel=1e-12)
    within = k[0][~np.eye(len(x), dtype=bool)].mean()
    one_side = within + k[1][apart[1]].mean() - 2 * k[2].mean()
    assert float(kernel_distance(x, y, None, of_y)) == pytest.approx(one_side, rel=1e-12)
    assert abs(one_side - expected) > 0.1 * abs(expected)


def test_groups_of_one_are_no_groups():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 8)), rng.normal(size=(40, 8)) + 0.3
    plain, named = kernel_distance(x, y), kernel_distance(x, y, rng.permutation(60), rng.permutation(40).astype(str))
    assert (float(plain), plain.se) == (float(named), named.se)


def test_order_and_names_of_groups_change_no_bit():
    rng = np.random.default_rng(0)
    (x, of_x), (y, of_y) = clustered(rng, 30), clustered(rng, 20)
    names = np.array([f"lesion {i}" for i in rng.permutation(30)])
    moved, other = rng.permutation(len(x)), rng.permutation(len(y))
    found = kernel_distance(x, y, of_x, of_y)
    again = kernel_distance(x[moved], y[other], names[of_x[moved]], of_y[other])
    assert (float(found), found.se) == (float(again), again.se)


def test_blocks_hold_whole_groups(monkeypatch):
    rng = np.random.default_rng(0)
    (x, of_x), (y, of_y) = clustered(rng, 80), clustered(rng, 50)
    whole = kernel_distance(x, y, of_x, of_y)
    monkeypatch.setattr("bench.metrics.kernel.CELLS", 300)
    blocked = kernel_distance(x, y, of_x, of_y)
    assert (float(blocked), blocked.se) == pytest.approx((float(whole), whole.se), rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_groups_make_it_unbiased_and_its_error_right(shift):
    """Lesions of one to four photographs against independent images of equal distribution, or of another mean."""
    rng = np.random.default_rng(3)
    found, naive = [], []
    for _ in range(400):
        y, of_y = clustered(rng, 40)
        x = np.sqrt(1.25) * rng.normal(size=(100, 6)) + shift
        found.append(kernel_distance(x, y, None, of_y))
        naive.append(kernel_distance(x, y))
    values = np.array([float(f) for f in found])
    # Where nothing differs the linear part is all noise, and cannot fall below 0: a little too wide, as without groups.
    assert 0.9 < np.sqrt(np.mean([f.se**2 for f in found])) / values.std(ddof=1) < 1.25
    if shift == 0:
        spread = values.std() / 20
        assert abs(values.mean()) < 4 * spread
        assert np.mean([float(f) for f in naive]) > 8 * spread, "pairs of one lesion are alike"


def test_quadratic_forms_equal_explicit_subsets():
    rng = np.random.default_rng(0)
    synthetic, real = rng.normal(size=(40, 6)), rng.normal(size=(50, 6)) + 0.2
    stream = np.random.RandomState(2020)
    values = []
    for _ in range(5):
        a = synthetic[stream.choice(40, 20, replace=False)]
        b = real[stream.choice(50, 20, replace=False)]
        values.append(brute_force(a, b))
    found = kernel_distance_subsets(synthetic, real, subsets=5, subset_size=20)
    assert (found.mean, found.std) == pytest.approx((np.mean(values), np.std(values)), abs=1e-13)


def test_undefined_and_bad_input():
    x = np.zeros((5, 3))
    with pytest.raises(UndefinedMetric, match="y has n = 1 and at least 2"):
        kernel_distance(x, x[:1])
    with pytest.raises(UndefinedMetric, match="synthetic has n = 5 and at least 1000"):
        kernel_distance_subsets(x, x)
    with pytest.raises(UndefinedMetric, match="all 5 rows of y are of one group"):
        kernel_distance(x, x, None, ["a"] * 5)
    with pytest.raises(DataError, match=r"x: 5 rows have group labels of shape \(4,\)"):
        kernel_distance(x, x, np.arange(4))
    with pytest.raises(DataError, match="NaN"):
        kernel_distance(x, np.full((4, 3), np.inf))


@pytest.mark.speed
def test_same_draws_as_torch_fidelity_and_faster():
    """n = 2,000, subsets of 1,000; the reference's time is scaled from 4 subsets to 100."""
    torch = pytest.importorskip("torch")
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    rng = np.random.default_rng(0)
    x, y = (np.abs(rng.normal(size=(2000, 512))) for _ in range(2))
    start = time.perf_counter()
    kwargs = {"kid_subsets": 4, "kid_subset_size": 1000, "rng_seed": 2020, "verbose": False}
    reference = kid.kid_features_to_metric(torch.from_numpy(y), torch.from_numpy(x), **kwargs)
    slow = (time.perf_counter() - start) * 25
    found = kernel_distance_subsets(y, x, subsets=4)
    assert found.mean == pytest.approx(reference["kernel_inception_distance_mean"], abs=1e-9)
    assert found.std == pytest.approx(reference["kernel_inception_distance_std"], abs=1e-9)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        kernel_distance_subsets(y, x)
        times.append(time.perf_counter() - start)
    assert slow / min(times) >= 15
