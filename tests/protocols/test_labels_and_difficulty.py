"""Which labels are asked for, and which cases are hard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import Threshold
from protocols.difficulty import cross_entropy, hard_cases, misclassified
from protocols.labels import balancing_labels, spread_labels
from tests.worlds import discs

CUT = Threshold("youden", 0.5, "val_thresh", "c" * 64)


@given(st.integers(0, 500), st.lists(st.integers(0, 50), min_size=1, max_size=7).filter(lambda w: sum(w) > 0))
@settings(max_examples=80, deadline=None)
def test_labels_are_spread_within_one_of_the_exact_share(n: int, weights: list[int]) -> None:
    labels = spread_labels(n, weights)
    assert len(labels) == n
    exact = n * np.array(weights) / sum(weights)
    assert np.abs(np.bincount(labels, minlength=len(weights)) - exact).max(initial=0) < 1
    assert all(w > 0 for w in np.array(weights)[np.unique(labels)])


def test_balancing_brings_every_class_to_the_largest() -> None:
    counts = np.array([10, 3, 7])
    assert (counts + np.bincount(balancing_labels(counts), minlength=3)).tolist() == [10, 10, 10]


def test_weights_without_a_sum_are_refused() -> None:
    with pytest.raises(ValueError, match="positive sum"):
        spread_labels(3, [0, 0])


def test_hard_cases_are_wrong_or_unsure_without_the_highest_losses() -> None:
    images = discs(100, 1)
    p_true = np.linspace(0.001, 0.999, 100)
    p = np.empty((100, 2), dtype=np.float32)
    p[np.arange(100), images.labels] = p_true
    p[np.arange(100), 1 - images.labels] = 1 - p_true
    rows = hard_cases(images, p, 1, CUT)
    assert set(rows) == {i for i in range(100) if p_true[i] < 0.75} - set(range(5))
    loss = cross_entropy(p, images.labels)
    assert np.all(np.diff(loss[rows]) <= 0)
    wrong = misclassified(p, images.labels, 1, CUT)
    assert np.array_equal(wrong, p_true < 0.5) or wrong[p_true == 0.5].any()


def test_loss_of_a_sure_mistake_is_finite() -> None:
    p = np.array([[1.0, 0.0]], dtype=np.float32)
    assert cross_entropy(p, np.array([1]))[0] == pytest.approx(-np.log(1e-7))
