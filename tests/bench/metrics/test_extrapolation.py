"""FID without its bias in n: nearer the truth than FID, with an interval that covers it."""

from __future__ import annotations

import numpy as np
import pytest

from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.metrics import frechet_distance
from bench.metrics.extrapolation import frechet_infinity

WIDTH = 24


def draws(n: int, count: int, shift: float, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    scale = np.linspace(0.5, 2, WIDTH)
    return [(rng.normal(size=(n, WIDTH)) * scale, rng.normal(size=(n, WIDTH)) * scale + shift) for _ in range(count)]


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_bias_goes_and_the_interval_covers_the_truth(shift):
    truth = WIDTH * shift**2
    sets = draws(300, 40, shift)
    plain = np.array([frechet_distance(x, y).raw for x, y in sets])
    found = [frechet_infinity(x, y, seed=s) for s, (x, y) in enumerate(sets)]
    values = np.array([e.value for e in found])
    assert plain.mean() - truth > 0.5
    assert abs(values.mean() - truth) < 0.15 * (plain.mean() - truth)
    assert np.mean([e.low <= truth <= e.high for e in found]) >= 0.85
    assert np.mean([e.extra["se"] for e in found]) == pytest.approx(values.std(ddof=1), rel=0.35)


def test_a_fixed_reference_keeps_its_share_of_the_bias():
    sets = draws(300, 12, 0.0)
    both = np.mean([frechet_infinity(x, y).value for x, y in sets])
    fixed = np.mean([frechet_infinity(x, y, fixed_reference=True).value for x, y in sets])
    assert fixed > both + 0.2


def test_row_order_changes_no_bit_and_a_shift_next_to_nothing():
    (x, y), rng = draws(120, 1, 0.3)[0], np.random.default_rng(1)
    found = frechet_infinity(x, y, seed=4)
    again = frechet_infinity(x[rng.permutation(120)], y[rng.permutation(120)], seed=4)
    assert (again.value, again.low, again.high) == (found.value, found.low, found.high)
    assert frechet_infinity(x, y, seed=5).value != found.value


def test_fewer_images_than_features():
    rng = np.random.default_rng(0)
    found = frechet_infinity(rng.normal(size=(60, 200)), rng.normal(size=(60, 200)) + 0.5, points=5)
    assert found.low < found.value < found.high
    assert found.n == 60
    assert "5 nested subsets of both sides" in found.method


def test_bad_input():
    x = np.zeros((30, 2))
    with pytest.raises(UndefinedMetric, match="synthetic has n = 19 and at least 20"):
        frechet_infinity(x, x[:19])
    with pytest.raises(DataError, match="real: row 3 holds NaN"):
        frechet_infinity(np.where(np.arange(30)[:, None] == 3, np.nan, x), x)
    with pytest.raises(ConfigError, match="points"):
        frechet_infinity(x, x, points=2)
    constant = frechet_infinity(x, x + 3)
    assert (constant.value, constant.low, constant.high) == pytest.approx((18, 18, 18))


def test_the_plugin_gives_the_same_number(manifold):
    from bench.contracts import FeatureEvidence
    from bench.metrics.plugins import FIDInfinity

    sets = [manifold[name][:120] for name in ("train", "held_out", "oracle")]
    labels, names = [np.zeros(120, dtype=np.int64)] * 3, [np.arange(120).astype(str)] * 2
    found = FIDInfinity()(FeatureEvidence(*sets, *labels, *names, ("a",), "test"), np.random.default_rng(3))
    seed = int(np.random.default_rng(3).integers(2**31))
    assert found.value == frechet_infinity(sets[1], sets[2], seed=seed).value
