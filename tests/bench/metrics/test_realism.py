"""Realism of single images against its definition, and as a guard against what it must not reward."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.metrics import prdc
from bench.metrics.realism import measure_realism, realism


def by_definition(real: np.ndarray, synthetic: np.ndarray, k: int) -> np.ndarray:
    own = np.linalg.norm(real[:, None] - real[None], axis=2)
    np.fill_diagonal(own, np.inf)
    radii = np.sort(own, axis=1)[:, k - 1]
    kept = radii <= np.median(radii)
    apart = np.linalg.norm(synthetic[:, None] - real[None, kept], axis=2)
    return (radii[kept] / apart).max(axis=1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([np.float32, np.float64]))
def test_definition(seed, k, dtype):
    rng = np.random.default_rng(seed)
    real, synthetic = rng.normal(size=(40, 6)).astype(dtype), rng.normal(size=(31, 6)).astype(dtype)
    wide = (z.astype(np.float64) for z in (real, synthetic))
    assert realism(real, synthetic, k) == pytest.approx(by_definition(*wide, k), rel=1e-12)


def test_blocks_and_order_change_no_bit(manifold, monkeypatch):
    real, synthetic = manifold["held_out"][:200], manifold["oracle"][:150]
    whole = realism(real, synthetic)
    rng = np.random.default_rng(0)
    i, j = rng.permutation(200), rng.permutation(150)
    assert np.array_equal(realism(real[i], synthetic[j]), whole[j])
    monkeypatch.setattr("bench.metrics.neighbours.CELLS", 700)
    assert np.array_equal(realism(real, synthetic), whole)


def test_realistic_images_lie_in_real_balls(manifold):
    """R >= 1 says: inside one of the smaller balls; so such an image counts for precision too."""
    real, synthetic = manifold["held_out"], manifold["oracle"]
    inside = realism(real, synthetic, 5) > 1
    assert 0.1 < inside.mean() < 0.9
    assert np.all(prdc(real, synthetic, 5).in_real[inside])


def test_copies_noise_and_reals_rank_as_they_should(manifold):
    real = manifold["held_out"]
    noise = np.random.default_rng(0).uniform(-4, 4, (300, 48))
    assert np.isinf(realism(real, real[:20])).sum() >= 5  # the copies of images whose ball is kept
    found = {name: measure_realism(real, rows, 0) for name, rows in (("oracle", manifold["oracle"]), ("noise", noise))}
    assert found["noise"].high < 0.4 < found["oracle"].low <= found["oracle"].value <= found["oracle"].high
    assert found["noise"].extra["share_realistic"] == 0
    assert (found["oracle"].n, found["oracle"].direction) == (900, "higher")


def test_one_stray_real_makes_nothing_realistic(manifold):
    """An outlier's ball is huge; it is the reason that only balls up to the median count."""
    far = np.full((1, 48), 200.0, dtype=np.float32)
    beside = np.full((5, 48), 150.0) + np.random.default_rng(0).normal(size=(5, 48))
    assert prdc(np.concatenate([manifold["held_out"], far]), np.repeat(beside, 2, axis=0)).precision == 1
    assert realism(np.concatenate([manifold["held_out"], far]), beside).max() < 0.2


def test_interval_covers_the_median():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(400, 5))
    truth = np.median(realism(real, rng.normal(size=(20_000, 5))))
    found = [measure_realism(real, rng.normal(size=(60, 5)), seed) for seed in range(150)]
    assert np.mean([e.low <= truth <= e.high for e in found]) == pytest.approx(0.95, abs=0.05)


def test_degenerate_and_bad_input():
    constant = np.full((20, 3), 2.0)
    assert np.array_equal(realism(constant, constant[:4]), np.ones(4))
    assert np.array_equal(realism(constant, constant[:4] + 1), np.zeros(4))
    with pytest.raises(UndefinedMetric, match="real has n = 3 and at least 4"):
        realism(constant[:3], constant)
    with pytest.raises(UndefinedMetric, match="synthetic has n = 0"):
        realism(constant, constant[:0])
    with pytest.raises(DataError, match="synthetic: row 1 holds NaN"):
        realism(constant, np.array([[0.0, 0, 0], [0, np.nan, 0]]))
    with pytest.raises(ConfigError, match="k must"):
        realism(constant, constant, 0)
