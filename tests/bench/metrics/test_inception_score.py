"""Inception Score: closed forms, torch-fidelity's numbers, refusal of what is not a distribution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.metrics.inception_score import inception_score


def test_sure_and_even_classes_give_their_number():
    sure = np.eye(7)[np.arange(7 * 40) % 7]
    assert inception_score(sure, splits=1).value == pytest.approx(7)
    assert inception_score(np.full((50, 7), 1 / 7)).value == pytest.approx(1)
    assert inception_score(np.eye(7)[np.zeros(50, dtype=int)]).value == pytest.approx(1)  # one class only: collapse


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 4, 10]))
def test_same_numbers_as_torch_fidelity(seed, splits):
    torch = pytest.importorskip("torch")
    isc = pytest.importorskip("torch_fidelity.metric_isc")
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=(103, 20)) * 3)
    expected = isc.isc_features_to_metric(logits, splits, True, 2020)
    found = inception_score(logits.softmax(dim=1).numpy(), splits, keep_order=True)
    assert found.value == pytest.approx(expected["inception_score_mean"], abs=1e-10)
    assert found.extra["std"] == pytest.approx(expected["inception_score_std"], abs=1e-10)


def test_order_changes_no_bit():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(12, 0.2), 200)
    assert inception_score(p) == inception_score(p[rng.permutation(200)])


def test_interval_covers_the_score_of_a_part():
    """The mean over splits estimates the (biased) score of a part: the interval is about that."""
    rng = np.random.default_rng(0)
    alpha = np.full(5, 0.3)
    expected = np.mean([inception_score(rng.dirichlet(alpha, 50), splits=1).value for _ in range(4000)])
    found = [inception_score(rng.dirichlet(alpha, 500)) for _ in range(200)]
    assert np.mean([e.low <= expected <= e.high for e in found]) == pytest.approx(0.95, abs=0.045)
    assert np.mean([e.extra["whole"] - e.value for e in found]) > 0.01  # a small part lies nearer to its own mean


def test_bad_input():
    p = np.full((20, 4), 0.25)
    with pytest.raises(DataError, match="row 3 is not a distribution over 4 classes: apply a softmax"):
        inception_score(np.where(np.arange(20)[:, None] == 3, 2.0, p))
    with pytest.raises(DataError, match="row 0"):
        inception_score(np.tile([1.5, -0.5], (20, 1)))
    with pytest.raises(DataError, match="row 2 holds NaN"):
        inception_score(np.where(np.arange(20)[:, None] == 2, np.nan, p))
    with pytest.raises(UndefinedMetric, match="10 splits need as many images and n = 9"):
        inception_score(p[:9])
    with pytest.raises(UndefinedMetric, match="n = 0"):
        inception_score(p[:0])
    with pytest.raises(ConfigError, match="split"):
        inception_score(p, splits=0)
