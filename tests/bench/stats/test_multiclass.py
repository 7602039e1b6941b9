"""Mean one-vs-rest AUC: DeLong's variance for two classes, the spread of repeated draws for seven."""

from __future__ import annotations

import numpy as np
import pytest

from bench import stats
from bench.errors import DataError, UndefinedMetric


def draw(n: int, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y = np.concatenate([np.repeat(np.arange(classes), 5), rng.integers(0, classes, n - 5 * classes)])
    logits = rng.normal(size=(n, classes)) + 1.2 * np.equal.outer(y, np.arange(classes))
    return y, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_two_classes_give_delong(case):
    _, arrays = case
    y, p = arrays["y"].astype(np.int64), arrays["a"]
    if len(np.unique(y)) < 2:
        pytest.skip("one class")
    found, single = stats.macro_auc(y, np.stack([1 - p, p], axis=1)), stats.delong(y, p)
    assert found.value == pytest.approx(single.auc, abs=1e-12)
    assert found.se == pytest.approx(single.se, abs=1e-12)
    if single.se > 0:
        assert (found.low, found.high) == pytest.approx((single.logit_low, single.logit_high), abs=1e-12)


def test_error_of_seven_classes_equals_the_spread_of_repeated_draws():
    rng = np.random.default_rng(0)
    found = [stats.macro_auc(*draw(200, 7, rng)) for _ in range(400)]
    values = np.array([f.value for f in found])
    assert np.mean([f.se for f in found]) == pytest.approx(values.std(ddof=1), rel=0.12)
    assert np.mean([f.low <= values.mean() <= f.high for f in found]) == pytest.approx(0.95, abs=0.03)


def test_independent_classes_would_give_another_error():
    """The seven AUCs share their cases: an average of seven variances over 49 misses the covariances."""
    y, scores = draw(400, 7, np.random.default_rng(1))
    each = [stats.delong(y == k, scores[:, k]) for k in range(7)]
    found = stats.macro_auc(y, scores)
    assert found.by_class == pytest.approx([e.auc for e in each])
    naive = np.sqrt(sum(e.variance for e in each)) / 7
    assert abs(found.se / naive - 1) > 0.05


def test_groups_that_repeat_each_case_double_the_variance():
    y, scores = draw(300, 4, np.random.default_rng(2))
    single = stats.macro_auc(y, scores, np.arange(300))
    doubled = stats.macro_auc(np.repeat(y, 2), np.repeat(scores, 2, axis=0), np.repeat(np.arange(300), 2))
    assert single.clustered_se == pytest.approx(single.se, rel=0.02)
    assert doubled.clustered_se == pytest.approx(single.clustered_se, rel=1e-6)
    assert doubled.se == pytest.approx(single.se / np.sqrt(2), rel=0.02)


def test_order_and_bad_input():
    y, scores = draw(120, 3, np.random.default_rng(3))
    order = np.random.default_rng(0).permutation(120)
    assert stats.macro_auc(y[order], scores[order]).se == pytest.approx(stats.macro_auc(y, scores).se, rel=1e-12)
    with pytest.raises(UndefinedMetric, match="class 2 has 1 cases"):
        stats.macro_auc([0, 0, 1, 1, 2], np.eye(3)[[0, 0, 1, 1, 2]])
    with pytest.raises(UndefinedMetric, match="class 0 has 0 cases"):
        stats.macro_auc([], np.empty((0, 3)))
    with pytest.raises(DataError, match="labels must lie in"):
        stats.macro_auc([0, 3], np.ones((2, 3)))
    with pytest.raises(DataError, match="not finite in row 1"):
        stats.macro_auc([0, 1], [[0.5, 0.5], [np.nan, 0.5]])
    constant = stats.macro_auc(y, np.full((120, 3), 1 / 3))
    assert (constant.value, constant.se) == (0.5, 0)
