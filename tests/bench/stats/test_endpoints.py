"""Secondary endpoints: the paired two-level bootstrap of any statistic agrees with that of the AUC, and keeps pairs."""

from __future__ import annotations

import numpy as np
import pytest

from bench import stats
from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.stats.endpoints import SECONDARY

SEEDS, CASES = 4, 240
CUTS = (0.2, 0.3, 0.25, 0.1)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """y [N], scores of two arms [S, N] that share how hard a case is, and lesions of two photographs."""
    rng = np.random.default_rng(3)
    y = (np.arange(CASES) % 4 == 0).astype(np.int64)
    hard = rng.normal(size=CASES)
    a, b = (gain * y + hard + rng.normal(0, 0.5, (SEEDS, CASES)) for gain in (1.6, 1.2))
    return y, a, b, np.array([f"{c}-{i // 8}" for i, c in enumerate(y)])


def test_the_auc_by_this_path_is_that_of_the_primary_endpoint(drawn) -> None:  # type: ignore[no-untyped-def]
    y, a, b, groups = drawn
    first, second = (stats.resample_endpoints(y, s, groups, ("auc",), replicates=400)["auc"] for s in (a, b))
    found, expected = first.minus(second), stats.two_level_bootstrap(y, a, b, groups, replicates=400)
    assert found.replicates == pytest.approx(expected.replicates, abs=1e-12)
    for part in ("value", "low", "high", "se", "p"):
        assert getattr(found, part) == pytest.approx(getattr(expected, part), abs=1e-12)


def test_values_are_those_of_the_plain_statistics(drawn) -> None:  # type: ignore[no-untyped-def]
    y, a, _, groups = drawn
    found = stats.resample_endpoints(y, a, groups, SECONDARY, CUTS, replicates=50)
    for s, cut in enumerate(CUTS):
        called = a[s] >= cut
        assert found["pauc80"].per_seed[s] == pytest.approx(stats.partial_auc(y, a[s]), abs=1e-12)
        assert found["sensitivity@sens95"].per_seed[s] == pytest.approx(called[y == 1].mean(), abs=1e-12)
        assert found["specificity@sens95"].per_seed[s] == pytest.approx((~called)[y == 0].mean(), abs=1e-12)
    assert found["pauc80"].by_case.shape == (50, SEEDS)


def test_the_standard_error_of_a_share_is_the_binomial_one(drawn) -> None:  # type: ignore[no-untyped-def]
    y, a, _, _ = drawn
    found = stats.resample_endpoints(y, a[:1], None, ("sensitivity@sens95",), CUTS[:1], replicates=4000)
    p, n = found["sensitivity@sens95"].per_seed[0], int(y.sum())
    assert found["sensitivity@sens95"].mean().se == pytest.approx(np.sqrt(p * (1 - p) / n), rel=0.05)


def test_swapped_arms_flip_the_sign_and_equal_arms_do_not_differ(drawn) -> None:  # type: ignore[no-untyped-def]
    y, a, b, groups = drawn
    arms = {n: stats.resample_endpoints(y, s, groups, SECONDARY, CUTS, replicates=300) for n, s in (("a", a), ("b", b))}
    found = stats.compare_endpoints(arms, [("a", "b"), ("b", "a"), ("a", "a")])
    for name in SECONDARY:
        there, back, same = (found[name, *pair] for pair in (("a", "b"), ("b", "a"), ("a", "a")))
        assert there.value == pytest.approx(-back.value, abs=1e-12)
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-12)
        assert there.p == back.p
        assert (same.value, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)


def test_the_interval_of_a_partial_auc_difference_covers_zero_at_its_level_for_equal_methods() -> None:
    rng = np.random.default_rng(11)
    y, missed, repeats = (np.arange(200) % 3 == 0).astype(np.int64), 0, 120
    for _ in range(repeats):
        hard = rng.normal(size=len(y))
        arms = [1.5 * y + hard + rng.normal(0, 0.7, (5, len(y))) for _ in "ab"]
        first, second = (stats.resample_endpoints(y, s, None, ("pauc80",), replicates=200)["pauc80"] for s in arms)
        missed += first.minus(second).p < 0.05
    assert missed <= repeats * 0.05 + 4 * np.sqrt(repeats * 0.05 * 0.95)


def test_what_is_wrong_is_named(drawn) -> None:  # type: ignore[no-untyped-def]
    y, a, _, groups = drawn
    with pytest.raises(ConfigError, match="no endpoint 'f1'"):
        stats.resample_endpoints(y, a, groups, ("f1",), replicates=10)
    with pytest.raises(DataError, match="needs the threshold"):
        stats.resample_endpoints(y, a, groups, SECONDARY, replicates=10)
    with pytest.raises(DataError, match="2 thresholds for 4 seeds"):
        stats.resample_endpoints(y, a, groups, SECONDARY, CUTS[:2], replicates=10)
    with pytest.raises(UndefinedMetric, match="two cases of each class"):
        stats.resample_endpoints(np.eye(1, CASES)[0], a, groups, ("auc",), replicates=10)
    few = stats.resample_endpoints(y, a[:2], groups, ("auc",), replicates=10)["auc"]
    with pytest.raises(DataError, match="resamples differ in shape"):
        few.minus(stats.resample_endpoints(y, a, groups, ("auc",), replicates=10)["auc"])
